"""`make fuzz`: searches until Ctrl-C, or for so many seconds.

With atheris, which follows what the code does, where it is installed (`pip install atheris`: Linux and CPython below
3.14); else at random, and it says so.
"""

from __future__ import annotations

import importlib
import random
import sys
import time

from tests.fuzz import target
from tests.fuzz.test_fuzz import MARKS
from tests.markdown.corpus.hostile import BLANKS, OPENERS

PARTS = [*MARKS, *OPENERS, *BLANKS]


def try_bytes(data: bytes) -> None:
    """Make a text of bytes, and try it: the first one says as what."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    before, _, piece = rest.decode("utf-8", "replace").partition("\x1f")
    text = target.repeated(before, piece, "") if piece else before
    if kind % 2:
        target.markdown(text)
    else:
        target.listing(target.ONE_NAME[kind // 2 % len(target.ONE_NAME)], text)


def at_random(seconds: float) -> None:
    """Try texts that are made of what begins something."""
    end, count, chooser = time.monotonic() + seconds, 0, random.Random()
    while time.monotonic() < end:
        before, piece = ("".join(chooser.choices(PARTS, k=chooser.randint(0, 4))) for _ in range(2))
        data = bytes([chooser.randrange(256)]) + f"{before}\x1f{piece}".encode()
        try:
            try_bytes(data)
        except BaseException:
            print(f"tried {data!r}", file=sys.stderr)
            raise
        count += 1
    print(f"{count} texts tried, none of them too much")


def main(arguments: list[str]) -> None:
    """Search."""
    seconds = float(arguments[0]) if arguments else float("inf")
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print(
            "atheris is not installed: texts are made at random, without regard to what the code does with them"
        )
        at_random(seconds)
        return
    atheris.instrument_all()
    limits = [f"-max_total_time={int(seconds)}"] if arguments else []
    atheris.Setup([sys.argv[0], *limits, "-max_len=200"], try_bytes)
    atheris.Fuzz()


main(sys.argv[1:])
