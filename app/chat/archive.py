"""A complete session as data: for export and import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.chat.contents import Problem
from app.chat.ports import Options, Usage
from app.chat.sizes import utf8_size
from app.chat.states import Outcome
from app.chat.titles import TITLE_LENGTH

OVERHEAD = 512  # approximate bytes per message or stream, not counting its text

Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?(Z|\\+00:00)$"
Time = Annotated[str, Meta(pattern=_TIME, max_length=40)]  # of UTC; whether it is a date the reader checks
Title = Annotated[str, Meta(max_length=TITLE_LENGTH)]
LONGEST_WORD = 1000  # characters
Word = Annotated[str, Meta(max_length=LONGEST_WORD)]  # a machine-made string: a model's name, a code
MOST_TOKENS = 2**53  # exclusive; the limit for milliseconds too
Count = Annotated[int, Meta(ge=0, lt=MOST_TOKENS)]


class ArchivedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a prompt. Its bytes are base64 in JSON."""

    image_id: Id
    media_type: Annotated[str, Meta(pattern="^image/(png|jpeg|gif|webp)$")]
    data: bytes


class ArchivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Everything about an answer except its text is in its stream."""

    message_id: Id
    parent_id: Id | None
    role: Literal["user", "assistant"]
    content: str
    reasoning: str = ""
    stream_id: Id | None
    created_at: Time
    images: list[ArchivedImage] = []


class ArchivedStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream: its outcome and statistics. `outcome` is null if it was still running."""

    stream_id: Id
    message_id: Id
    continues: Id | None = None
    created_at: Time | None = None
    model: Word
    outcome: Outcome | None
    finish_reason: Word | None
    tokens: Count
    duration_ms: Count
    ttft_ms: Count | None
    reasoning_tokens: Count = 0
    thought_ms: Count | None = None
    upstream_closed: bool
    usage: Usage | None = None
    error: Problem | None = None


class ArchivedKey(msgspec.Struct, frozen=True):
    """An idempotency key. Only archives of deleted sessions contain keys; they are meaningless on another server."""

    key: str
    stream_id: str
    request_hash: str


class Archive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A complete session. Messages (of all branches) and streams are ordered oldest first."""

    kind: Literal["tailrace-session"]
    version: Literal[1]
    session_id: Id
    title: Title
    created_at: Time
    updated_at: Time
    options: Options = Options()
    messages: list[ArchivedMessage]
    streams: list[ArchivedStream]
    keys: list[ArchivedKey] = []


def size(archive: Archive) -> int:
    """Return the approximate size of an archive in bytes, with its texts in UTF-8."""
    return records_size(archive.messages, archive.streams)


def records_size(messages: Sequence[ArchivedMessage], streams: Sequence[ArchivedStream]) -> int:
    """Return the approximate size of these records in bytes, with their texts in UTF-8."""
    texts = sum(utf8_size(message.content) + utf8_size(message.reasoning) for message in messages)
    pictures = sum(len(picture.data) for message in messages for picture in message.images)
    return texts + pictures + OVERHEAD * (len(messages) + len(streams))


def flaw(archive: Archive) -> str | None:
    """Return a sentence about the first inconsistency, or `None` if the archive is consistent.

    IDs must be unique, each message must come after its parent, each referenced stream must exist, and token counts
    must be in range.
    """
    streams = {stream.stream_id for stream in archive.streams}
    if len(streams) != len(archive.streams):
        return "Two streams have the same ID."
    pictures = [picture.image_id for message in archive.messages for picture in message.images]
    if len(set(pictures)) != len(pictures):
        return "Two images have the same ID."
    known: set[str] = set()
    for message in archive.messages:
        if message.message_id in known:
            return f"Two messages have the ID {message.message_id}."
        if message.parent_id is not None and message.parent_id not in known:
            return f"Message {message.message_id} follows {message.parent_id}, which doesn't come before it."
        if message.stream_id is not None and message.stream_id not in streams:
            return f"Message {message.message_id} belongs to stream {message.stream_id}, which is missing."
        known.add(message.message_id)
    for stream in archive.streams:
        if stream.usage is not None and not is_possible(stream.usage):
            return f"Stream {stream.stream_id} has an impossible token usage."
        if stream.continues is not None and stream.continues not in streams:
            return f"Stream {stream.stream_id} continues {stream.continues}, which is missing."
    return None


def is_possible(usage: Usage) -> bool:
    """Return whether token counts are in the range that can be stored."""
    return 0 <= usage.prompt_tokens < MOST_TOKENS and 0 <= usage.completion_tokens < MOST_TOKENS
