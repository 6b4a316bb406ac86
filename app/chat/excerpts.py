"""A part of a branch, selected from the messages of a whole session."""

from __future__ import annotations

from app.chat.branches import branch, siblings
from app.chat.message_range import MessageRange, bounds
from app.chat.records import Excerpt, Message, SessionInfo


def excerpt_of(
    info: SessionInfo, messages: list[Message], through: str | None, part: MessageRange
) -> Excerpt:
    """Return a part of the newest branch, or of the newest one that contains `through`. Raises `MessageNotFound`."""
    way = branch(messages, through)
    begin, end = bounds(way, part, through)
    families = {name: family for name, family in siblings(messages).items() if len(family) > 1}
    earlier = [message.message_id for message in way[:begin]]
    return Excerpt(info, way[begin:end], families, earlier, way[-1].message_id if way else None)
