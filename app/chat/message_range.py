"""Selects the messages of a long branch that a page shows: the newest ones, and earlier ones on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from app.chat.errors import MessageNotFound

if TYPE_CHECKING:
    from app.chat.records import Message

MESSAGES = 40  # per part
CHARACTERS = 200_000  # per part; the last exchange is always included, even if it is longer
MOST_MESSAGES = 1_000  # of the largest part, which `?all=1` and `?from=` may ask for
MOST_CHARACTERS = 2_000_000  # likewise


class MessageRange(NamedTuple):
    """The requested part of a branch; by default its newest messages."""

    since: str | None = None  # the id of the first message; ignored if it is not in the branch
    before: str | None = None  # the id of the message to end before
    whole: bool = False  # start at the first message, or as early as the largest part may


WHOLE = MessageRange(whole=True)


class Way(NamedTuple):
    """A branch from its root on, seen by places from 0. `size` is in characters, of all texts of a message."""

    length: int
    place_of: Callable[[str], int | None]
    is_prompt: Callable[[int], bool]
    size: Callable[[int], int]


def bounds(messages: Sequence[Message], part: MessageRange, through: str | None = None) -> tuple[int, int]:
    """Return the slice of a part of a branch: `messages[begin:end]`. See `bounds_of`."""
    places = {message.message_id: place for place, message in enumerate(messages)}
    way = Way(
        len(messages),
        places.get,
        lambda place: messages[place].role == "user",
        lambda place: len(messages[place].content) + len(messages[place].reasoning),
    )
    return bounds_of(way, part, through)


def bounds_of(way: Way, part: MessageRange, through: str | None = None) -> tuple[int, int]:
    """Return where a part of a branch begins and ends.

    It starts with a prompt, and includes the message `through` unless it ends before it. It is never larger than the
    largest part; one that is asked for from and through the same early message begins there, and ends earlier. Raises
    `MessageNotFound` if `part.before` is not in the branch.
    """
    end = way.length
    if part.before is not None:
        before = way.place_of(part.before)
        if before is None:
            raise MessageNotFound(f"Message {part.before} doesn't exist in this branch.")
        end = before
    earliest = _newest(way, end, MOST_MESSAGES, MOST_CHARACTERS)
    if part.whole:
        return earliest, end
    begin = _place(way, part.since)
    begin = _newest(way, end, MESSAGES, CHARACTERS) if begin is None else begin
    wanted = _place(way, through)
    begin = min(begin, begin if wanted is None else wanted, end)
    if begin < earliest and through is not None and part.since == through:
        return begin, min(end, begin + 1)
    begin = max(begin, earliest)
    while earliest < begin < end and not way.is_prompt(begin):
        begin -= 1
    return begin, end


def _place(way: Way, message_id: str | None) -> int | None:
    return None if message_id is None else way.place_of(message_id)


def _newest(way: Way, end: int, most: int, most_size: int) -> int:
    """Return the start of the newest exchanges before `end` that fit both limits."""
    begin = end
    size = 0
    for place in range(end - 1, -1, -1):
        size += way.size(place)
        is_full = end - place > most or size > most_size
        if is_full and begin < end:
            break
        if is_full and end - place > 2:  # not an exchange but answers that follow each other
            return place + 1
        if way.is_prompt(place) or place == 0:
            begin = place
    return begin
