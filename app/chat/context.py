"""The messages sent to the model: earlier messages trimmed to its context, incomplete answers marked as such."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import dropwhile

from app.chat.alternating import alternating, worth_reading
from app.chat.ports import ChatMessage, Options
from app.chat.records import Message
from app.chat.states import Outcome

# A token is at least about three bytes of text in the languages that models handle well, and each message costs a few
# tokens of its own. This is a conservative estimate: an exact count would need each model's tokenizer.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 8
TOKENS_PER_IMAGE = 1024  # approximate; models differ by a factor of four
ANSWER_SHARE = 4  # without `max_tokens`, a quarter of the context is reserved for the answer

MARKS: dict[Outcome, str] = {
    Outcome.STOPPED: "[The user stopped this answer here.]",
    Outcome.SUPERSEDED: "[The user sent the next message before this answer was finished.]",
    Outcome.ABANDONED: "[This answer was not finished.]",
    Outcome.FAILED: "[This answer broke off with an error.]",
    Outcome.INTERRUPTED: "[This answer was interrupted.]",
}


EMPTY = "[This answer was empty.]"
UNSEEN = "[An image that this model can't see.]"


def as_read_by_model(message: Message, pictures: Collection[str] = ()) -> ChatMessage:
    """Return the message as sent to the model, with those of its images whose ids are in `pictures`.

    An incomplete answer gets a mark, so that the model knows.
    """
    shown = tuple(image for image in message.images if image.image_id in pictures)
    mark = MARKS.get(message.outcome) if message.outcome else None
    if message.role == "assistant" and not message.content.strip():
        return ChatMessage(message.role, mark or EMPTY, shown)
    if mark is None:
        is_unseen = message.images and not shown and not message.content.strip()
        return ChatMessage(message.role, UNSEEN if is_unseen else message.content, shown)
    return ChatMessage(message.role, f"{message.content}\n\n{mark}")


def assemble(
    earlier: Sequence[Message],
    prompt: Message,
    options: Options,
    context: int,
    *,
    begun: str = "",
    pictures: Collection[str] = (),
) -> list[ChatMessage]:
    """Return the messages for the model: the system prompt, as many of the latest messages as fit, the prompt.

    `begun` is the answer so far if it is continued; it comes last, as an assistant message. `context` is in tokens.
    The prompt is always included, whatever its length: the model server decides whether it fits. No message is empty,
    and after the system prompt user and assistant alternate: chat templates reject anything else.
    """
    asked = as_read_by_model(prompt, pictures)
    goes_last = [ChatMessage("assistant", begun)] if begun else []
    room = context - min(options.max_tokens or context // ANSWER_SHARE, context // 2)
    room -= sum(map(estimate, [*_system([options.system or ""]), asked, *goes_last]))
    read = [as_read_by_model(message, pictures) for message in worth_reading(earlier)]
    kept = _latest(read, room)
    rules = [options.system or "", *(message.content for message in kept if message.role == "system")]
    talk = [message for message in kept if message.role != "system"]
    if len(kept) < len(read):
        talk = list(dropwhile(lambda message: message.role == "assistant", talk))  # its prompt was trimmed
    return [*_system(rules), *alternating([*talk, asked]), *goes_last]


def _system(rules: Sequence[str]) -> list[ChatMessage]:
    """Return the system prompt. Later ones, from an imported chat, are merged into it, because it must come first."""
    said = "\n\n".join(rule for rule in rules if rule.strip())
    return [ChatMessage("system", said)] if said else []


def _latest(messages: Sequence[ChatMessage], room: int) -> list[ChatMessage]:
    """Return as many of the last messages as fit into `room` tokens."""
    kept: list[ChatMessage] = []
    for message in reversed(messages):
        room -= estimate(message)
        if room < 0:
            break
        kept.append(message)
    kept.reverse()
    return kept


def estimate(message: ChatMessage) -> int:
    """Return an estimate of a message's tokens, rather too high than too low."""
    text = len(message.content.encode()) // BYTES_PER_TOKEN
    return text + TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE * len(message.pictures)
