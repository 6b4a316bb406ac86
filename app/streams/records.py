"""What is remembered of a conversation: sessions, messages, streams. And the port of the history that remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from app.streams.events import Problem
from app.streams.ports import Role, Usage
from app.streams.states import Outcome, Status


class Message(msgspec.Struct, kw_only=True):
    """One message of a session. An answer has the stream that made it; its `outcome` is `None` while it runs."""

    message_id: str
    role: Role
    content: str
    reasoning: str = ""
    stream_id: str | None = None
    outcome: Outcome | None = None
    model: str | None = None
    created_at: str  # RFC 3339, UTC
    error: Problem | None = None
    tokens: int | None = None
    duration_ms: int | None = None


class SessionInfo(msgspec.Struct, kw_only=True):
    """A session without its messages."""

    session_id: str
    title: str
    created_at: str  # RFC 3339, UTC
    updated_at: str


class StreamState(msgspec.Struct, kw_only=True, frozen=True):
    """The state of one stream, as `GET /api/streams/{stream_id}` tells it, also long after its end."""

    stream_id: str
    session_id: str
    status: Status
    outcome: Outcome | None
    finish_reason: str | None
    model: str
    message_id: str
    tokens: int
    duration_ms: int
    ttft_ms: int | None
    upstream_closed: bool
    usage: Usage | None = None
    error: Problem | msgspec.UnsetType = msgspec.UNSET


class Exchange(msgspec.Struct, kw_only=True, frozen=True):
    """A prompt, and the answer that a stream will give to it."""

    owner: str
    session_id: str
    stream: StreamState
    prompt: Message
    answer: Message
    key: str | None = None  # the idempotency key, if the prompt came with one
    request_hash: str = ""  # of the request that the key stands for


class KnownKey(NamedTuple):
    """What an idempotency key stands for."""

    stream_id: str
    request_hash: str


class Conversation(NamedTuple):
    """A session with its messages, oldest first, all as of one moment."""

    info: SessionInfo
    messages: list[Message]


class Page(NamedTuple):
    """A part of a list of sessions, newest first; `next` continues it, `None` at the end."""

    sessions: list[SessionInfo]
    next: str | None


class History(Protocol):
    """Sessions and messages. Every method raises `SessionNotFound` for a session that is not the owner's."""

    async def check(self, owner: str, session_id: str) -> bool:
        """Tell whether the session exists; raises `SessionNotFound` if it is somebody else's."""
        ...

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """Return what an idempotency key of that session stands for."""
        ...

    async def admit(self, exchange: Exchange) -> None:
        """Keep a prompt and the place of its answer, before anybody is told that they were accepted."""
        ...

    async def withdraw(self, stream_id: str) -> None:
        """Undo `admit`: the prompt was turned down after all, and its idempotency key is free again.

        Does nothing if the session was deleted meanwhile.
        """
        ...

    def follow(self, stream_id: str, texts: list[str], reasoning: list[str]) -> None:
        """Look into these lists from time to time: the answer grows in them until `finish`, and only at their ends.

        What was seen there some time ago survives a crash.
        """
        ...

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """Keep an answer and the figures of its stream. Idempotent; does nothing if the session was deleted.

        Every read sees it at once; it may come to the disk later.
        """
        ...

    async def discard(self, stream_id: str) -> None:
        """Drop an exchange from the conversation; the state of its stream stays known."""
        ...

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """Return the state of a stream as last kept. Raises `StreamNotFound`."""
        ...

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        """Return a session without its messages."""
        ...

    async def conversation(self, owner: str, session_id: str) -> Conversation:
        """Return a session with its messages, as of the very moment of the return. They are the caller's to change."""
        ...

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        """Return the messages of a session, oldest first. They are the caller's to change."""
        ...

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """Return the owner's sessions, newest first, whose title or messages hold `query`."""
        ...

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """Give a session another title."""
        ...

    async def delete(self, owner: str, session_id: str) -> None:
        """Forget a session and everything in it."""
        ...
