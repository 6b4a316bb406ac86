"""Lines out of bytes that were cut anywhere."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backends.decoding.line_splitter import LineSplitter
from app.chat.errors import UpstreamGarbled

CUTS = st.lists(st.integers(min_value=0, max_value=200), max_size=20)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def lines_of(data: bytes, cuts: list[int]) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for piece in pieces(data, cuts) for line in splitter.feed(piece)]
    return found + splitter.flush()


@settings(deadline=None)  # the machine may be busy
@given(data=st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b"\xc3\xa9"])), cuts=CUTS)
def test_lines_do_not_depend_on_the_cuts(data: list[bytes], cuts: list[int]) -> None:
    """However the bytes are cut, the lines are those of the whole."""
    whole = b"".join(data)
    assert lines_of(whole, cuts) == whole.splitlines()


def test_line_comes_with_its_end() -> None:
    """A line is there as soon as its end is, also where that is a CR that a LF may still follow."""
    splitter = LineSplitter()
    assert splitter.feed(b"one\r") == [b"one"]
    assert splitter.feed(b"\ntwo\n") == [b"two"]
    assert splitter.feed(b"thr") == []
    assert splitter.feed(b"ee\n\n") == [b"three", b""]


def test_line_past_the_limit() -> None:
    """A line longer than the limit is refused while it grows, not when it ends."""
    splitter = LineSplitter(limit=10)
    assert splitter.feed(b"0123456789") == []
    with pytest.raises(UpstreamGarbled, match="more than 10 bytes"):
        splitter.feed(b"x")


def test_long_lines_take_linear_time() -> None:
    """A line of four times the pieces takes about four times as long, not sixteen."""

    def seconds(count: int) -> float:
        splitter = LineSplitter()
        begun = time.process_time()
        for _ in range(count):
            splitter.feed(b"x" * 100)
        splitter.feed(b"\n")
        return time.process_time() - begun

    seconds(1000)
    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(80_000) for _ in range(3))
    assert large < 9 * small
