"""Makes user and assistant messages alternate: chat templates reject empty messages and repeated roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.chat.errors import ContextExceeded, UpstreamRejected
from app.chat.ports import ChatMessage
from app.chat.records import Message

BEGINNING = "[The chat begins with an answer.]"
# The model server rejected the prompt itself, perhaps for an image. If sent again, it would fail every later prompt.
_REFUSED = (UpstreamRejected.code, ContextExceeded.code)


def worth_reading(messages: Sequence[Message]) -> list[Message]:
    """Return the messages without empty prompts, and without prompts that the model server rejected.

    Any other empty answer is kept: `context` replaces it with a mark that says how it ended.
    """
    kept: list[Message] = []
    for message in messages:
        if message.role != "assistant":
            says = bool(message.content.strip() or message.images)
        else:
            says = bool(message.content.strip()) or not _was_refused(message)
        if says:
            kept.append(message)
        elif message.role == "assistant" and kept and kept[-1].role == "user":
            kept.pop()
    return kept


def _was_refused(answer: Message) -> bool:
    return answer.error is not None and answer.error.code in _REFUSED


def alternating(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Join adjacent messages of the same role, and make sure that the first one is the user's.

    Adjacent prompts occur in imported chats, for example. Both are kept, with their images, because the later one may
    refer to the earlier; an exact repetition is merged.
    """
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            joined[-1] = _joined(joined[-1], message)
        else:
            joined.append(message)
    if joined and joined[0].role == "assistant":
        joined.insert(0, ChatMessage("user", BEGINNING))
    return joined


def _joined(one: ChatMessage, other: ChatMessage) -> ChatMessage:
    pictures = (*one.pictures, *(picture for picture in other.pictures if picture not in one.pictures))
    texts = [one.content, other.content] if one.content.strip() != other.content.strip() else [other.content]
    return ChatMessage(one.role, "\n\n".join(text for text in texts if text.strip()), pictures)
