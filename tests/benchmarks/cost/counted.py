"""A program whose instructions are counted: `python -m tests.benchmarks.cost.counted MODULE [ARGUMENT …]`.

It runs the module as `python -m` would. For each line on standard input it calls the function before which callgrind
was told to write its counts, and says so on standard error. It ends when standard input does.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys
import threading
from unittest import mock

MARK = "getpgid"  # a function of the C library that nobody else calls
MARKED = b"marked\n"


def _mark() -> None:
    while os.read(0, 1):
        os.getpgid(0)
        os.write(2, MARKED)
    os._exit(1)  # at once: nobody is left who would wait for an orderly end


def main(module: str) -> None:
    """Run `module`, with what follows it as its arguments, without what depends on time.

    That is garbage collection, and the processor time of a step, by which the server sizes the next one: under
    callgrind it is fifty times as long.
    """
    gc.disable()
    threading.Thread(target=_mark, name="mark", daemon=True).start()
    del sys.argv[0]
    with mock.patch("time.thread_time", new=float):  # always 0.0
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
