"""The events of rendered answers. They have no id: after a reconnection a block may come again."""

from __future__ import annotations

import msgspec


class BlockEvent(msgspec.Struct, frozen=True):
    """Block `index` of an answer is closed. It ends at `end` in the source, in UTF-16 code units."""

    session_id: str
    stream_id: str
    message_id: str
    index: int
    end: int
    html: str


class TailEvent(msgspec.Struct, frozen=True):
    """The blocks from `index` on are open again. Their source is `text`; it starts at `closed` (UTF-16 code units)."""

    session_id: str
    stream_id: str
    message_id: str
    index: int
    closed: int
    text: str


# By name, as the OpenAPI document describes them.
BLOCK_EVENTS: dict[str, type[msgspec.Struct]] = {"block": BlockEvent, "tail": TailEvent}
