"""Selects the messages of a long branch that a page shows: the newest ones, and earlier ones on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from app.chat.errors import MessageNotFound
from app.chat.records import Message

MESSAGES = 40  # per part
CHARACTERS = 200_000  # per part; the last exchange is always included, even if it is longer


class MessageRange(NamedTuple):
    """The requested part of a branch; by default its newest messages."""

    since: str | None = None  # the id of the first message; ignored if it is not in the branch
    before: str | None = None  # the id of the message to end before
    whole: bool = False  # start at the first message


WHOLE = MessageRange(whole=True)


def asked(request: web.Request) -> MessageRange:
    """Return the part requested by `?from=`, `?before=` and `?all=1`."""
    query = request.query
    return MessageRange(query.get("from"), query.get("before"), query.get("all") == "1")


def bounds(messages: Sequence[Message], part: MessageRange, through: str | None = None) -> tuple[int, int]:
    """Return the slice of a part of a branch: `messages[begin:end]`.

    It starts with a prompt, and includes the message `through` unless it ends before it. Raises `MessageNotFound` if
    `part.before` is not in the branch.
    """
    places = {message.message_id: place for place, message in enumerate(messages)}
    if part.before is not None and part.before not in places:
        raise MessageNotFound(f"Message {part.before} doesn't exist in this branch.")
    end = len(messages) if part.before is None else places[part.before]
    if part.whole:
        return 0, end
    begin = places.get(part.since or "", _newest(messages[:end]))
    begin = min(begin, places.get(through or "", begin), end)
    while 0 < begin < end and messages[begin].role != "user":
        begin -= 1
    return begin, end


def _newest(messages: Sequence[Message]) -> int:
    """Return the start of the newest exchanges that fit both limits."""
    begin = end = len(messages)
    size = 0
    for place in range(end - 1, -1, -1):
        size += len(messages[place].content)
        if begin < end and (end - place > MESSAGES or size > CHARACTERS):
            break
        if messages[place].role == "user" or place == 0:
            begin = place
    return begin
