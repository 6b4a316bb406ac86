"""Frames of a session log, taken apart again."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from app.streams.frames import Frame


class Logged(NamedTuple):
    """One event of a session log; each token is one."""

    seq: int
    name: str
    stream_id: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The text of a token, empty for anything else."""
        return str(self.data.get("text", ""))

    def __str__(self) -> str:
        return f"{self.name} {self.seq} of {self.stream_id}"


def parse(sse: bytes) -> tuple[str, int, dict[str, Any]]:
    """Return name, sequence number (0 if it has no id) and data of an SSE frame."""
    fields = dict(line.split(b": ", 1) for line in sse.split(b"\n") if line)
    seq = int(fields[b"id"].split(b"-")[1]) if b"id" in fields else 0
    return fields[b"event"].decode(), seq, msgspec.json.decode(fields[b"data"])


def expand(frame: Frame) -> list[Logged]:
    """Return the events in a frame as the log appended it. Of several texts in one append, the first holds them all."""
    name, seq, data = parse(frame.sse)
    count = data.get("count", 1)
    first = Logged(seq - count + 1, name, frame.stream_id, data)
    rest = [Logged(first.seq + i, name, frame.stream_id, {**data, "text": ""}) for i in range(1, count)]
    return [first, *rest]
