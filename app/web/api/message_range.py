"""Which messages of a long chat a page shows: the newest ones, and earlier ones when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from app.chat.errors import MessageNotFound
from app.chat.records import Message

MESSAGES = 40  # of one part
CHARACTERS = 200_000  # of its prompts and answers; its last exchange may be longer by itself


class MessageRange(NamedTuple):
    """A part of a branch, as an address asks for it: without any of these, its newest messages."""

    since: str | None = None  # begin with this message, if it is in the branch
    before: str | None = None  # end before this message
    whole: bool = False  # begin with the first message


WHOLE = MessageRange(whole=True)


def asked(request: web.Request) -> MessageRange:
    """Return the part that `?from=`, `?before=` and `?all=1` ask for."""
    query = request.query
    return MessageRange(query.get("from"), query.get("before"), query.get("all") == "1")


def bounds(messages: Sequence[Message], part: MessageRange, through: str | None = None) -> tuple[int, int]:
    """Return where a part of a branch begins and ends: `messages[begin:end]`.

    It begins with a prompt, and the message `through` is in it unless it has to end before that. Raises
    `MessageNotFound` if the message that it has to end before is not in the branch.
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
    """Return where the newest exchanges begin that are few and short enough together."""
    begin = end = len(messages)
    size = 0
    for place in range(end - 1, -1, -1):
        size += len(messages[place].content)
        if begin < end and (end - place > MESSAGES or size > CHARACTERS):
            break
        if messages[place].role == "user" or place == 0:
            begin = place
    return begin
