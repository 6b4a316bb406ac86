"""The stored data of a conversation: sessions, messages, streams. And the port of the history that stores it."""

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
    """One message of a session. For an answer, `outcome` is `None` while its stream runs.

    Several streams may have written one answer, each continuing the one before: `stream_id` is the last of them, and
    outcome and figures are from that stream.
    """

    message_id: str
    parent_id: str | None = None  # the message that it follows; messages with the same parent are branches
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
    thought_ms: int | None = None  # so far, while the stream runs
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    images: list[Image] = []

    def show_figures(self, state: StreamState | None) -> None:
        """Copy the figures of the last stream that wrote this answer; `None` clears them."""
        for name in FIGURES:
            setattr(self, name, None if state is None else getattr(state, name))


# The fields of a message that `show_figures` copies from its stream.
FIGURES = ("tokens", "duration_ms", "ttft_ms", "thought_ms", "completion_tokens", "tokens_per_second")


class SessionInfo(msgspec.Struct, kw_only=True):
    """A session without its messages."""

    session_id: str
    title: str
    created_at: str  # RFC 3339, UTC
    updated_at: str
    options: Options = Options()  # the defaults for its prompts


class StreamState(msgspec.Struct, kw_only=True, frozen=True):
    """The state of one stream. It stays available after the stream has ended."""

    stream_id: str
    session_id: str
    status: Status
    outcome: Outcome | None
    finish_reason: str | None
    model: str
    message_id: str
    continues: str | None = None  # the stream whose answer this one continues, in the same message
    tokens: int  # pieces of the answer
    duration_ms: int
    ttft_ms: int | None  # until the first piece, of reasoning or of the answer
    reasoning_tokens: int = 0  # pieces
    thought_ms: int | None = None
    upstream_closed: bool
    usage: Usage | None = None
    error: Problem | msgspec.UnsetType = msgspec.UNSET
    # Derived from the other fields; see `figures`.
    completion_tokens: int = 0
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        """Compute the derived fields."""
        count = figures.completion_tokens(self.tokens, self.reasoning_tokens, self.usage)
        rate = figures.tokens_per_second(count, self.duration_ms, self.ttft_ms)
        msgspec.structs.force_setattr(self, "completion_tokens", count)
        msgspec.structs.force_setattr(self, "tokens_per_second", rate)


class Exchange(msgspec.Struct, kw_only=True, frozen=True):
    """A prompt, and the answer that a stream will generate for it.

    If `asks` is true, the prompt is new and both messages are to be stored; if not, the prompt was stored with an
    earlier exchange. If the stream continues another one, the answer is stored already too, and `answer` is its
    present state.
    """

    owner: str
    session_id: str
    created_at: str  # RFC 3339, UTC; when the stream was registered
    stream: StreamState
    prompt: Message
    answer: Message
    pictures: Sequence[ImageData] = ()  # the bytes of the prompt's images, in the same order
    asks: bool = True
    remember: Options | None = None  # the new options of the session, if they are to be changed
    key: str | None = None  # the idempotency key, if the request had one
    request_hash: str = ""  # of the request with that key


class SessionHead(NamedTuple):
    """The state of a session that a new prompt builds on."""

    newest: str | None = None  # the id of the newest message, `None` if there is none
    options: Options = Options()


class Interrupted(NamedTuple):
    """An answer that a shutdown or a crash of the server interrupted."""

    owner: str
    session_id: str
    message_id: str
    model: str


class KnownKey(NamedTuple):
    """The registration that an idempotency key belongs to."""

    stream_id: str
    request_hash: str


class Conversation(NamedTuple):
    """A consistent snapshot of a session with the messages of all branches, oldest first."""

    info: SessionInfo
    messages: list[Message]


class Page(NamedTuple):
    """A page of a list of sessions, newest first. `next` is the `after` of the next page, `None` on the last page."""

    sessions: list[SessionInfo]
    next: str | None


class History(Protocol):
    """Stores sessions and messages. Methods that take an `owner` treat the sessions of other owners as not found.

    They raise `SessionNotFound` then, or the error that they document.
    """

    async def check(self, owner: str, session_id: str) -> bool:
        """Return whether the session exists. Raises `SessionNotFound` if it has another owner."""
        ...

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """Return the registration with that idempotency key in the session, or `None`."""
        ...

    async def standing(self, owner: str, session_id: str) -> SessionHead:
        """Return the state that a new prompt in the session builds on; the session need not exist yet."""
        ...

    async def admit(self, exchange: Exchange) -> None:
        """Store a prompt and a placeholder for its answer, before the client learns that they were accepted.

        A message whose parent no longer exists follows the newest message. Raises `AnswerMoved` if the answer to be
        continued differs from the exchange's, which means that another stream is continuing it.
        """
        ...

    async def withdraw(self, stream_id: str) -> None:
        """Undo `admit`, because the prompt was refused after all. Its idempotency key can be used again.

        A continued answer returns to its previous state. Does nothing if the session has been deleted meanwhile.
        """
        ...

    def follow(self, stream_id: str, texts: list[str], reasoning: list[str]) -> None:
        """Store the running answer from these lists periodically. They are append-only, and grow until `finish`.

        Text that was stored this way survives a crash.
        """
        ...

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """Store the full text of an answer and the state of its stream.

        Idempotent. Does nothing if the session was deleted; leaves the answer alone if another stream writes it now.
        Every read sees it at once; it may be written to disk later.
        """
        ...

    async def discard(self, stream_id: str) -> None:
        """Remove an exchange from the conversation; the state of its stream is kept.

        Messages that followed it now follow its parent. A continued answer stays, with the text of the last `finish`,
        and belongs to the previous stream again.
        """
        ...

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """Return the last stored state of a stream. Raises `StreamNotFound`."""
        ...

    async def interrupted(self, *, since: datetime, tries: int, limit: int) -> Sequence[Interrupted]:
        """Return up to `limit` answers of all owners that were interrupted with a server after `since`, latest first.

        Only answers that are the newest message of their session and have been continued fewer than `tries` times.
        """
        ...

    async def image(self, owner: str, image_id: str) -> ImageData:
        """Return an image of a prompt. Raises `ImageNotFound`."""
        ...

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        """Return a session without its messages."""
        ...

    async def conversation(self, owner: str, session_id: str) -> Conversation:
        """Return a session with its messages, as of the moment of the return. The caller may modify them."""
        ...

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        """Return the messages of a session, oldest first. The caller may modify them."""
        ...

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """Return the owner's sessions, newest first, with every word of `query` in their title or a message."""
        ...

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """Change the title of a session."""
        ...

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """Replace the options of a session."""
        ...

    async def delete(self, owner: str, session_id: str) -> None:
        """Delete a session and everything in it."""
        ...

    async def archive(self, owner: str, session_id: str, *, most: int | None = None) -> Archive:
        """Return a consistent snapshot of a session; of a running answer, only the text of the last `finish`.

        Raises `ArchiveTooLarge` if it takes more than `most` bytes.
        """
        ...

    async def restore(self, owner: str, archive: Archive) -> None:
        """Store the session of an archive, which must not have a `flaw`. Running streams become `interrupted`.

        Raises `SessionExists`.
        """
        ...
