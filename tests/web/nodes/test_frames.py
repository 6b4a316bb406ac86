"""Frames of an event stream that arrive in any pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.nodes import frames as module
from app.web.nodes.frames import Frame, frames

STREAM = (
    b"retry: 2000\n: the stream of events begins\n\n"
    b'id: s1/3-1\nevent: start\ndata: {"stream_id":"a"}\n\n'
    b'event: heartbeat\ndata: {"time":"event: token"}\n\n'
    b'id: s1/3-2\nevent: token\ndata: {"text":"id: s1/9-9\\n\\n"}\n\n'
)
FRAMES = [("", ""), ("start", "3-1"), ("heartbeat", ""), ("token", "3-2")]


class Pieces:
    """A body in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def readany(self) -> bytes:
        """See `Content`."""
        return self._pieces.pop(0) if self._pieces else b""


async def read(pieces: list[bytes]) -> list[Frame]:
    """Return the frames of a body."""
    return [frame async for frame in frames(Pieces([piece for piece in pieces if piece]))]


@given(cuts=st.lists(st.integers(0, len(STREAM))).map(sorted))
async def test_any_cuts(cuts: list[int]) -> None:
    """The frames are the same, and together they are the stream."""
    places = [0, *cuts, len(STREAM)]
    found = await read([STREAM[begin:end] for begin, end in pairwise(places)])
    assert [(frame.event, frame.cursor) for frame in found] == FRAMES
    assert b"".join(frame.data for frame in found) == STREAM


async def test_a_frame_that_was_cut_off_is_left_out() -> None:
    """It comes again from the cursor of the last whole one."""
    assert [frame.event for frame in await read([STREAM[:-1]])] == ["", "start", "heartbeat"]


async def test_a_frame_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills no memory."""
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="too long"):
        await read([b"x" * 600, b"x" * 600])
