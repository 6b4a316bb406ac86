"""Exports a branch of a session as Markdown, for reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.chat.records import Message
from app.chat.states import Outcome
from app.markdown.outline import as_part
from app.web.i18n.labels import label
from app.web.i18n.translations import SOURCE_LANGUAGE

SPEAKERS = {"user": "You", "assistant": "Answer", "system": "System"}
UNFINISHED = {
    Outcome.STOPPED: "Stopped",
    Outcome.SUPERSEDED: "Replaced by a newer message",
    Outcome.ABANDONED: "Stopped: no one was viewing",
    Outcome.INTERRUPTED: "Interrupted",
    Outcome.FAILED: "The answer failed.",
    None: "Still in progress",
}


def title_line(title: str) -> str:
    """Return the heading of the whole, without a line end."""
    return f"# {title or 'Chat'}"


def as_markdown(messages: Iterable[Message]) -> str:
    """Return messages, each under a heading and after an empty line. Headings inside one are moved below it."""
    return "".join(f"\n\n{part}" for message in messages for part in _part(message))


def _part(message: Message) -> Iterator[str]:
    by = f" ({message.model})" if message.model else ""
    yield f"## {SPEAKERS[message.role]}{by}"
    for image in message.images:
        yield f"*Image: {image.media_type}, {image.size} bytes*"
    if message.reasoning.strip():
        yield f"<details><summary>Reasoning</summary>\n\n{message.reasoning.strip()}\n\n</details>"
    if message.content.strip():
        yield as_part(message.content.strip("\n"))
    if message.error is not None:
        yield f"*{message.error.message}*"
    elif message.role == "assistant" and message.outcome != "complete":
        yield f"*{UNFINISHED[message.outcome]}*"
    elif how := label(SOURCE_LANGUAGE, message.outcome, message.finish_reason):
        yield f"*{how}*"
