"""Entries as bytes."""

from __future__ import annotations

import json
from typing import Any

from app.chat.states import Status
from app.log.entries import Begun, Entry, Prompt, Start, StatusChange
from app.web.events.encoders import FrameEncoder, Heartbeat, ndjson, passing

HOSTILE = 'a\r\nb\rc\nd\0e\n\ndata: forged\u2028"\\ % %d é 🌊'
START = Start("s1", "m1", "b/m", Prompt("m0", HOSTILE), "m", Begun("so far"))


def text(seq: int, position: int, count: int, text: str) -> Entry:
    return Entry(seq, "s1", "token", None, text, position, count)


def data_of(frame: bytes) -> dict[str, Any]:
    """Return the JSON of a frame."""
    data: dict[str, Any] = json.loads(frame.split(b"data: ", 1)[1])
    return data


def test_no_text_can_end_a_field() -> None:
    """CR, LF and NUL in a text stay inside of the JSON; the frame keeps its shape."""
    encode = FrameEncoder("7-").encode
    for entry in (text(3, 0, 1, HOSTILE), Entry.of(3, START)):
        sse = encode(entry)
        lines = sse.decode().split("\n")
        assert [line.partition(": ")[0] for line in lines] == ["id", "event", "data", "", ""]
        assert not set("\r\0") & set(sse.decode())
        data = data_of(sse)
        assert HOSTILE in (data.get("text"), data.get("prompt", {}).get("text"))


def test_a_text_frame_names_its_last_event() -> None:
    """A frame of several tokens carries the id of the last, and each stream and kind has its own."""
    encode = FrameEncoder("7-").encode
    for stream_id, kind in (("s1", "reasoning"), ("s1", "token"), ("s2", "token")):
        sse = encode(Entry(12, stream_id, kind, None, "abc", 4, 3))
        assert sse.startswith(f"id: 7-12\nevent: {kind}\n".encode())
        assert data_of(sse) == {"stream_id": stream_id, "position": 4, "count": 3, "text": "abc"}


def test_clients_have_the_text_that_an_answer_goes_on_with() -> None:
    """A `start` says that it continues, and not what is there."""
    assert data_of(FrameEncoder("7-").encode(Entry.of(1, START))) == {
        "stream_id": "s1",
        "message_id": "m1",
        "model": "b/m",
        "prompt": {"message_id": "m0", "text": HOSTILE},
        "parent_id": "m",
        "continues": True,
    }


def test_a_note_is_there_when_there_is_one() -> None:
    """Without one, a status is what it always was."""
    encode = FrameEncoder("7-").encode
    assert data_of(encode(Entry.of(1, StatusChange("s1", Status.THINKING)))) == {
        "stream_id": "s1",
        "status": "thinking",
    }
    noted = encode(Entry.of(2, StatusChange("s1", Status.THINKING, "Loading the model…")))
    assert data_of(noted)["note"] == "Loading the model…"


def test_a_page_knows_the_session_of_each_frame() -> None:
    """One connection carries several sessions."""
    assert FrameEncoder("chat/7-").encode(text(3, 0, 1, "a")).startswith(b"id: chat/7-3\nevent: token\n")


def test_what_carries_no_state_has_no_id() -> None:
    """A heartbeat moves no cursor."""
    assert b"id:" not in passing("heartbeat", Heartbeat("2026-01-01T00:00:00Z"))


def test_ndjson_is_the_same_event_on_one_line() -> None:
    """Its `type` is the event's name, the rest its data."""
    for entry in (text(1, 0, 1, HOSTILE), Entry.of(3, START)):
        line = ndjson(entry)
        assert line.count(b"\n") == 1
        told = data_of(FrameEncoder("7-").encode(entry))
        assert json.loads(line) == {"type": entry.name, **told}
