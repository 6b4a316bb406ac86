"""Entries of a session log, and frames of a viewer, taken apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from app.log.entries import Entry


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


def expand(entry: Entry) -> list[Logged]:
    """Return the events in an entry. Of several texts in one append, the first holds them all."""
    data = msgspec.to_builtins(entry.event) if entry.event else {"text": entry.text}
    first = Logged(entry.seq - entry.count + 1, entry.name, entry.stream_id, data)
    rest = [Logged(first.seq + i, entry.name, entry.stream_id, {"text": ""}) for i in range(1, entry.count)]
    return [first, *rest]
