"""What a conversation has to be when all is over: a tree without gaps, whose answers say what their streams said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.chat.branches import branch
from app.chat.records import Message
from tests.schedules.histories import SlowHistory
from tests.schedules.invariants import Life


def faults(history: SlowHistory, lives: Sequence[Life], messages: Sequence[Message]) -> Iterator[str]:
    """Yield what is wrong with the messages of a session, given the streams that it had, in the order of claims."""
    seen: dict[str | None, Message] = {}
    for message in messages:
        if message.parent_id is not None and message.parent_id not in seen:
            yield f"{message.message_id} follows {message.parent_id}, which is not there"
        parent = seen.get(message.parent_id)
        if parent is not None and parent.role == message.role:
            yield f"{message.message_id} follows {parent.message_id}, and both are of the {message.role}"
        seen[message.message_id] = message
        if message.role == "assistant" and not _is_said(history, lives, message):
            yield f"{message.message_id} says {message.content!r}, and its streams did not"
    if messages and branch(messages)[-1] != messages[-1]:
        yield "the newest message is not shown"


def _is_said(history: SlowHistory, lives: Sequence[Life], answer: Message) -> bool:
    """Tell whether an answer is what its streams said, one after the other; what was rolled back is not in it."""
    rolled_back = any(life.if_active == "rollback" for life in lives)
    possible = {""}
    for life in lives:
        if life.end is None or history.message_of(life.stream_id) != answer.message_id:
            continue
        words = "".join(f"{number} " for number in range(1, life.end["tokens"] + 1))
        longer = {text + words for text in possible}
        possible = longer | possible if rolled_back and life.goes_on else longer
    return answer.content in possible
