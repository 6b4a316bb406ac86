"""Events as bytes."""

from __future__ import annotations

import json

import pytest

from app.streams.events import Heartbeat, Prompt, Start
from app.streams.frames import Cursor, Frame, event_frame, passing_frame, text_frame, text_template

HOSTILE = 'a\r\nb\rc\nd\0e\n\ndata: forged\u2028"\\ % %d é 🌊'


def test_no_text_can_end_a_field() -> None:
    """CR, LF and NUL in a text stay inside of the JSON; the frame keeps its shape."""
    for sse in (
        text_frame(text_template(7, "token", "s1"), 3, 0, 1, HOSTILE),
        event_frame(Cursor(7, 3), Start("s1", "m1", "b/m", Prompt("m0", HOSTILE))),
    ):
        lines = sse.decode().split("\n")
        assert [line.partition(": ")[0] for line in lines] == ["id", "event", "data", "", ""]
        assert not set("\r\0") & set(sse.decode())
        data = json.loads(lines[2].removeprefix("data: "))
        assert HOSTILE in (data.get("text"), data.get("prompt", {}).get("text"))


def test_a_text_frame_names_its_last_event() -> None:
    """A frame of several tokens carries the id of the last."""
    sse = text_frame(text_template(7, "reasoning", "s1"), 12, 4, 3, "abc")
    assert sse.startswith(b"id: 7-12\nevent: reasoning\n")
    data = json.loads(sse.split(b"data: ")[1])
    assert data == {"stream_id": "s1", "position": 4, "count": 3, "text": "abc"}


def test_what_carries_no_state_has_no_id() -> None:
    """A heartbeat moves no cursor."""
    assert b"id:" not in passing_frame(Heartbeat("2026-01-01T00:00:00Z"))


def test_ndjson_is_the_same_event_on_one_line() -> None:
    """Its `type` is the event's name, the rest its data."""
    frame = Frame("s1", "token", 1, text_frame(text_template(7, "token", "s1"), 1, 0, 1, HOSTILE))
    assert frame.ndjson.count(b"\n") == 1
    line = json.loads(frame.ndjson)
    assert line == {"type": "token", "stream_id": "s1", "position": 0, "count": 1, "text": HOSTILE}


@pytest.mark.parametrize(
    "text", ["", "7", "7-", "-3", "7-3-1", "a-b", " 7-3", "7-3\n", "\u0667-\u0663", "9" * 40 + "-1"]
)
def test_what_is_no_cursor_is_not_taken_for_one(text: str) -> None:
    """Only `<epoch>-<seq>` in plain digits is a cursor."""
    assert Cursor.parse(text) is None


def test_a_cursor_reads_as_it_is_written() -> None:
    """Writing and parsing are inverse."""
    assert Cursor.parse(str(Cursor(1795397148648, 12))) == Cursor(1795397148648, 12)
