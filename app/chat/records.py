"""What is remembered of a conversation: sessions, messages, streams. And the port of the history that remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from app.chat import figures
from app.chat.archive import Archive
from app.chat.contents import Image, Problem
from app.chat.ports import ImageData, Options, Role, Usage
from app.chat.states import Outcome, Status


class Message(msgspec.Struct, kw_only=True):
    """One message of a session. An answer has the stream that made it; its `outcome` is `None` while it runs.

    Several streams may have written one answer, each going on where another broke off: `stream_id` is the last of
    them, and outcome and figures are those of that stream.
    """

    message_id: str
    parent_id: str | None = None  # the message that it follows; those with the same one are branches
    role: Role
    content: str
    reasoning: str = ""
    stream_id: str | None = None
    outcome: Outcome | None = None
    finish_reason: str | None = None
    model: str | None = None
    created_at: str  # RFC 3339, UTC
    error: Problem | None = None
    tokens: int | None = None
    duration_ms: int | None = None
    ttft_ms: int | None = None
    thought_ms: int | None = None  # while it runs: so far
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    images: list[Image] = []

    def show_figures(self, state: StreamState | None) -> None:
        """Have the figures of the stream that wrote it last; `None`: none yet."""
        for name in FIGURES:
            setattr(self, name, None if state is None else getattr(state, name))


# The members of a message that are figures of its stream.
FIGURES = ("tokens", "duration_ms", "ttft_ms", "thought_ms", "completion_tokens", "tokens_per_second")


class SessionInfo(msgspec.Struct, kw_only=True):
    """A session without its messages."""

    session_id: str
    title: str
    created_at: str  # RFC 3339, UTC
    updated_at: str
    options: Options = Options()  # of every prompt in it that says nothing else


class StreamState(msgspec.Struct, kw_only=True, frozen=True):
    """The state of one stream, available long after it ended."""

    stream_id: str
    session_id: str
    status: Status
    outcome: Outcome | None
    finish_reason: str | None
    model: str
    message_id: str
    continues: str | None = None  # the stream whose answer it goes on with, in the same message
    tokens: int  # pieces of the answer
    duration_ms: int
    ttft_ms: int | None  # until the first piece, of reasoning or of the answer
    reasoning_tokens: int = 0  # pieces
    thought_ms: int | None = None
    upstream_closed: bool
    usage: Usage | None = None
    error: Problem | msgspec.UnsetType = msgspec.UNSET
    # These two follow from the others; see `figures`.
    completion_tokens: int = 0
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        """Count."""
        count = figures.completion_tokens(self.tokens, self.reasoning_tokens, self.usage)
        rate = figures.tokens_per_second(count, self.duration_ms, self.ttft_ms)
        msgspec.structs.force_setattr(self, "completion_tokens", count)
        msgspec.structs.force_setattr(self, "tokens_per_second", rate)


class Exchange(msgspec.Struct, kw_only=True, frozen=True):
    """A prompt, and the answer that a stream will give to it.

    The prompt is new, and both messages are to be kept; or (`asks` is false) it was kept with an earlier exchange.
    Where the stream continues another, the answer is there already as well, and given here as it was before.
    """

    owner: str
    session_id: str
    created_at: str  # RFC 3339, UTC; when the stream was registered
    stream: StreamState
    prompt: Message
    answer: Message
    pictures: Sequence[ImageData] = ()  # the bytes of the prompt's images, in their order
    asks: bool = True
    remember: Options | None = None  # what becomes the options of the session
    key: str | None = None  # the idempotency key, if the prompt came with one
    request_hash: str = ""  # of the request that the key stands for


class SessionHead(NamedTuple):
    """What a new prompt in a session starts from."""

    newest: str | None = None  # the newest message, `None` if there is none
    options: Options = Options()


class Interrupted(NamedTuple):
    """An answer that the end of a server has interrupted."""

    owner: str
    session_id: str
    message_id: str
    model: str


class KnownKey(NamedTuple):
    """What an idempotency key stands for."""

    stream_id: str
    request_hash: str


class Conversation(NamedTuple):
    """A session with its messages, those of all branches, oldest first, and all as of one moment."""

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

    async def standing(self, owner: str, session_id: str) -> SessionHead:
        """Return what a new prompt in a session starts from; the session need not exist yet."""
        ...

    async def admit(self, exchange: Exchange) -> None:
        """Keep a prompt and the place of its answer, before anybody is told that they were accepted.

        A message whose `parent_id` is not there any more follows the newest one. Raises `AnswerMoved` if the answer
        that the stream continues is not as the exchange has it: another stream goes on with it.
        """
        ...

    async def withdraw(self, stream_id: str) -> None:
        """Undo `admit`: the prompt was turned down after all, and its idempotency key is free again.

        A continued answer is as it was before. Does nothing if the session was deleted meanwhile.
        """
        ...

    def follow(self, stream_id: str, texts: list[str], reasoning: list[str]) -> None:
        """Look into these lists from time to time: the answer grows in them until `finish`, and only at their ends.

        What was seen there some time ago survives a crash.
        """
        ...

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """Keep an answer, all of its text, and the figures of its stream.

        Idempotent; does nothing if the session was deleted, or if another stream writes that answer now.
        Every read sees it at once; it may come to the disk later.
        """
        ...

    async def discard(self, stream_id: str) -> None:
        """Drop an exchange from the conversation; the state of its stream stays known.

        What followed it follows what it followed. A continued answer stays, as it was last finished, and belongs to
        the stream before.
        """
        ...

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """Return the state of a stream as last kept. Raises `StreamNotFound`."""
        ...

    async def interrupted(self, *, since: datetime, tries: int, limit: int) -> Sequence[Interrupted]:
        """Return answers of all owners that a server's end interrupted after `since`, the latest first.

        Only those that are the newest message of their session, and were not continued `tries` times already.
        """
        ...

    async def image(self, owner: str, image_id: str) -> ImageData:
        """Return an image of a prompt. Raises `ImageNotFound`."""
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
        """Return the owner's sessions, newest first, that hold each word of `query` in their title or a message."""
        ...

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """Give a session another title."""
        ...

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """Give a session other options."""
        ...

    async def delete(self, owner: str, session_id: str) -> None:
        """Forget a session and everything in it."""
        ...

    async def archive(self, owner: str, session_id: str, *, most: int | None = None) -> Archive:
        """Return everything of a session, as of one moment; of a running answer, what was last finished of it.

        Raises `ArchiveTooLarge` if it takes more than `most` bytes.
        """
        ...

    async def restore(self, owner: str, archive: Archive) -> None:
        """Keep a session as it is in an archive without a `flaw`; what was running in it was interrupted.

        Raises `SessionExists`.
        """
        ...
