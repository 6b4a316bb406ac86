"""What keeps a flood from blocking the loop and from filling the memory, part by part."""

from __future__ import annotations

import asyncio

import pytest

from app.backends.decoding.line_splitter import LONG_RUN, LineSplitter
from app.backends.decoding.room import FREE, MOST_HELD, SHARED, STEP, Room
from app.backends.errors.masking import NO_SECRETS
from app.backends.http.listed import MAX_MODELS, MAX_NAME, is_name, usable
from app.backends.http.slices import LARGEST, MOST_JUNK, SMALLEST, Slices
from app.backends.http.turns import Turns
from app.backends.json_values import count_or_none, decode
from app.backends.openai.models import ListedModel
from app.chat.archive import LONGEST_WORD
from app.chat.errors import UpstreamGarbled
from app.chat.ports import Delta
from app.config.servers import RESERVED


async def test_turns_are_taken_in_order_and_not_all_at_once() -> None:
    """A long turn ends the iteration; calls and waiters come in the order in which they asked."""
    turns, taken = Turns(), list[str]()

    async def wait(name: str) -> None:
        await turns.wait()
        taken.append(name)

    def burn() -> None:
        taken.append("long")
        until = asyncio.get_running_loop().time() + 0.01
        while asyncio.get_running_loop().time() < until:
            pass

    waiting = [asyncio.create_task(wait("first")), asyncio.create_task(wait("gone"))]
    await asyncio.sleep(0)
    turns.add(burn)
    turns.add(lambda: taken.append("last"))
    waiting[1].cancel()
    iterations = 0
    while len(taken) < 3:
        assert iterations < 100
        iterations += 1
        await asyncio.sleep(0)
    assert taken == ["first", "long", "last"]
    assert iterations >= 3


def test_slices_shrink_while_they_are_slow() -> None:
    """And grow again for usual text; what is not text is limited in total."""
    slices = Slices()
    for _ in range(10):
        assert slices.count(b"\n" * slices.size, [], 1e-6 * slices.size)
    assert slices.size == 2000
    assert slices.count(b"\n" * slices.size, [], 1.0)
    assert slices.size == SMALLEST
    text = b"data: " + b"x" * 400 + b"\n\n"
    for _ in range(10):
        data = text * (slices.size // len(text) + 1)
        assert slices.count(data, [Delta("token", ["x"] * (len(data) // len(text)))], 1e-5)
    assert slices.size == LARGEST
    taken = 0
    while slices.count(b"x" * LARGEST, [], 1e-5):
        taken += LARGEST
    assert MOST_JUNK // 2 < taken <= MOST_JUNK


def test_unfinished_lines_share_a_room() -> None:
    """Each has its free part in any case; what goes, or ends its line, gives back."""
    room = Room()
    splitters = [LineSplitter(room=room) for _ in range(100)]
    piece = b"a b " * (STEP // 4)
    refused = 0
    for _ in range(MOST_HELD // STEP - 1):
        for splitter in list(splitters):
            try:
                splitter.feed(piece)
            except UpstreamGarbled:
                splitters.remove(splitter)
                refused += 1
    assert refused > 90
    assert 0 < sum(splitter.held - FREE for splitter in splitters) <= SHARED
    assert len(splitters[0].feed(b"\n")[0]) == splitters[1].held


def test_long_runs_of_base64_are_dropped() -> None:
    """Of an image in a line little is kept, and what follows it is complete."""
    splitter = LineSplitter()
    splitter.feed(b'{"image":"')
    for _ in range(100):
        assert splitter.feed(b"iVBORw0KGgo/+=" * 5000) == []
    (line,) = splitter.feed(b'","text":"Hello"}\n')
    assert line.endswith(b'","text":"Hello"}')
    assert len(line) < 2 * LONG_RUN + 100_000
    assert decode(line)["text"] == "Hello"


def test_values_that_grow_in_memory_are_refused() -> None:
    """A text of four megabytes is decoded; as many brackets are not."""
    assert decode(b'{"a":"%b"}' % (b"x" * 4_000_000))["a"]
    for value in (b"[" + b"[]," * 1_300_000 + b"[]]", b"[" + b"{}," * 300_000 + b"{}]"):
        with pytest.raises(ValueError, match="too large"):
            decode(value)


@pytest.mark.parametrize("value", [-1, 2**53, 2**200, 1e300, float("inf"), float("nan"), 1.5, True, "7"])
def test_counts_that_are_none(value: object) -> None:
    """Whatever cannot be stored, exported and imported again is no count."""
    assert count_or_none(value) is None
    assert count_or_none(2**53 - 1) == count_or_none(float(2**53 - 1)) == 2**53 - 1


def test_names() -> None:
    """A name that is listed fits wherever it is stored, and shows as what it is."""
    for name in ("", " ", "a\nb", "a\x00", "\u202egpj", "zero\u200bwidth", "x" * (MAX_NAME + 1)):
        assert not is_name(name), name
    for name in ("llama3.2:1b", "org/team model", "modèle/ünï-語 🦙", "x" * MAX_NAME):
        assert is_name(name), name
    assert MAX_NAME + max(map(len, [*RESERVED, "x" * 32])) + 1 <= LONGEST_WORD
    entries = [ListedModel(f"m{number % 9000}", "", None) for number in range(20_000)]
    names = [entry.name for entry in usable(entries, NO_SECRETS)]
    assert names == [f"m{number}" for number in range(MAX_MODELS)]
