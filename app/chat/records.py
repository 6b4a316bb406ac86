"""The stored data of a conversation: sessions, messages, streams. And the port of the history that stores it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from app.chat import figures
from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.contents import Image, Problem
from app.chat.growing_text import GrowingText
from app.chat.message_range import MessageRange
from app.chat.ports import ImageData, Options, Role
from app.chat.ports import Usage as TokenUsage
from app.chat.quotas import Usage
from app.chat.states import Outcome, Status
from app.measures import QUICK, Histogram


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

    def show(self, state: StreamState) -> None:
        """Copy what is known of the last stream that wrote this answer. A running one has no figures yet."""
        self.stream_id, self.model = state.stream_id, state.model
        self.outcome, self.finish_reason = state.outcome, state.finish_reason
        self.error = state.error or None
        for name in FIGURES:
            setattr(self, name, getattr(state, name) if state.outcome else None)


# The fields of a message that `show` copies from the state of a stream that has ended.
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
    usage: TokenUsage | None = None
    error: Problem | msgspec.UnsetType = msgspec.UNSET
    note: str = ""  # what the model does while no text comes, or the place in line as text
    place: int | None = None  # in line for the model server, from 1 on; `None` outside
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
    unasked: bool = False  # the server continues the answer by itself
    follows_newest: bool = False  # the prompt follows the newest message, whatever `prompt.parent_id` is
    remember: Options | None = None  # the new options of the session, if they are to be changed
    options: Options = Options()  # that the request asked for
    key: str | None = None  # the idempotency key, if the request had one
    request_hash: str = ""  # of the request with that key


class Interrupted(NamedTuple):
    """An answer that a shutdown or a crash of the server interrupted."""

    owner: str
    session_id: str
    message_id: str
    model: str
    options: Options = Options()  # that its request asked for, apart from those of the session


class Unfinished(NamedTuple):
    """A stream whose end the history has not seen: it waits or runs, or its server is gone."""

    owner: str
    session_id: str
    stream_id: str
    message_id: str  # of its answer
    model: str
    continues: str | None
    options: Options  # that its request asked for, apart from those of the session
    has_text: bool  # whether any of its text is stored. Without, it may never have started
    created_at: str | None = None  # RFC 3339, UTC; when it was registered
    taken_up: bool = False  # whether a new owner has started it again already
    halted: bool = False  # whether its user has stopped it, or the answer that it continues
    ended: bool = False  # whether its end is stored all the same: it was found by when it was registered


class Seen(NamedTuple):
    """What viewers have seen of a stream whose owner is gone. More of it than is stored, perhaps."""

    stream_id: str
    text: GrowingText  # of this stream, by the pieces that arrived
    reasoning: GrowingText
    end: StreamState | None = None  # `None` if it was running; without the model


class KnownKey(NamedTuple):
    """The registration that an idempotency key belongs to."""

    stream_id: str
    request_hash: str


class Admission(NamedTuple):
    """The state of the session that an admitted exchange builds on, from before its admission.

    If the exchange repeats an idempotency key, `known` is the registration with that key, and nothing was stored.
    """

    newest: str | None = None  # the id of the newest message, `None` if there is none
    options: Options = Options()
    known: KnownKey | None = None


class Conversation(NamedTuple):
    """A consistent snapshot of a session with the messages of all branches, oldest first."""

    info: SessionInfo
    messages: list[Message]


class Excerpt(NamedTuple):
    """A consistent snapshot of a session with some messages of one branch, oldest first."""

    info: SessionInfo
    messages: list[Message]
    families: dict[
        str, list[str]
    ]  # by message: the ids with the same parent, oldest first, if there are several
    earlier: list[str]  # the ids of the branch before `messages`
    newest: str | None  # the id of the branch's last message


class Records(NamedTuple):
    """The ids of all messages and streams of a session, oldest first."""

    info: SessionInfo
    messages: list[str]
    streams: list[str]


class Page(NamedTuple):
    """A page of a list of sessions, newest first. `next` is the `after` of the next page, `None` on the last page."""

    sessions: list[SessionInfo]
    next: str | None


class HistoryLoad(msgspec.Struct, kw_only=True, frozen=True):
    """What a history has not written yet, and how long its transactions took."""

    changes: int = 0  # queued for the database, those of the batch in progress not counted
    bytes: int = 0  # of these
    failing: bool = False  # whether the database rejected or missed the last attempt
    batches: Histogram = msgspec.field(default_factory=lambda: Histogram(QUICK))  # s


class SessionWriter(Protocol):
    """Stores the records of one session. The ids must be new, and each message must come after its parent."""

    async def add(
        self,
        messages: Sequence[ArchivedMessage],
        streams: Sequence[ArchivedStream] = (),
        keys: Sequence[ArchivedKey] = (),
    ) -> None:
        """Store some records, in a few short transactions."""

    async def finish(self, archive: Archive) -> None:
        """Make the session visible, with the fields of `archive`, whose lists are ignored."""


class History(Protocol):
    """Stores sessions and messages. Methods that take an `owner` treat the sessions of other owners as not found.

    They raise `SessionNotFound` then, or the error that they document.
    """

    def load(self) -> HistoryLoad:
        """Return how much is waiting to be written. A history without a database is never behind."""

    async def check(self, owner: str, session_id: str) -> bool:
        """Return whether the session exists. Raises `SessionNotFound` if it has another owner."""

    async def running(self, owner: str, session_id: str) -> list[str]:
        """Return the streams of a session that have not ended, oldest first; none if it does not exist."""

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """Return the registration with that idempotency key in the session, or `None`."""

    async def admit(self, exchange: Exchange) -> Admission:
        """Store a prompt and a placeholder for its answer, before the client learns that they were accepted.

        The session is created if it does not exist. Nothing is stored if the idempotency key is known. A message
        whose parent no longer exists follows the newest message. Raises `AnswerMoved` if the answer to be continued
        differs from the exchange's, which means that another stream is continuing it, `CannotContinue` if it is
        halted and the exchange `unasked`, and `StorageFull` if there is no room for it. The answer itself may exceed
        the limit.
        """

    async def withdraw(self, stream_id: str) -> None:
        """Undo `admit`, because the prompt was refused after all. Its idempotency key can be used again.

        A continued answer returns to its previous state. Does nothing if the session has been deleted meanwhile.
        """

    def follow(self, stream_id: str, texts: GrowingText, reasoning: GrowingText) -> None:
        """Store the running answer from these texts periodically. They grow until `finish`.

        Text that was stored this way survives a crash.
        """

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """Store the full text of an answer and the state of its stream.

        Idempotent. Does nothing if the session was deleted; leaves the answer alone if another stream writes it now.
        Every read sees it at once; it may be written to disk later.
        """

    async def halt(self, session_id: str, stream_id: str | None = None) -> None:
        """Let only the user continue an interrupted answer: that of a stream, which may still run, or the newest one.

        The server does not continue it by itself: it is not among the `interrupted`, and `admit` refuses it. Raises
        `HistoryUnavailable`, and `LeaseLost` if another node owns the session.
        """

    async def discard(self, stream_id: str) -> None:
        """Remove an exchange from the conversation; the state of its stream is kept.

        Messages that followed it now follow its parent. A continued answer stays, with the text of the last `finish`,
        and belongs to the previous stream again.
        """

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """Return the last stored state of a stream. Raises `StreamNotFound`."""

    async def interrupted(
        self, *, since: datetime, tries: int, limit: int, sessions: Collection[str] | None = None
    ) -> Sequence[Interrupted]:
        """Return up to `limit` answers of all owners that were interrupted with a server after `since`, latest first.

        Only of these `sessions`, if they are given, and only answers that are the newest message of their session and
        have been continued fewer than `tries` times.
        """

    async def image(self, owner: str, image_id: str) -> ImageData:
        """Return an image of a prompt. Raises `ImageNotFound`."""

    async def image_sizes(self, owner: str, image_ids: Collection[str]) -> dict[str, int]:
        """Return the sizes of images in bytes, by id. Raises `ImageNotFound` if one of them does not exist."""

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        """Return a session without its messages."""

    async def conversation(self, owner: str, session_id: str) -> Conversation:
        """Return a session with its messages, as of the moment of the return. The caller may modify them."""

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        """Return the messages of a session, oldest first. The caller may modify them."""

    async def excerpt(
        self, owner: str, session_id: str, through: str | None, part: MessageRange, *, entire: bool = False
    ) -> Excerpt:
        """Return a part of the newest branch, or of the newest that contains `through`; see `message_range`.

        It is of the moment of the return. With `entire`, `families` covers the earlier messages too. Raises
        `MessageNotFound`.
        """

    async def some(self, owner: str, session_id: str, message_ids: Sequence[str]) -> list[Message]:
        """Return the first of these messages, about a megabyte. Raises `MessageNotFound` if one is missing."""

    async def near(self, owner: str, session_id: str, message_id: str, most: int) -> list[Message]:
        """Return the path to a message, of a long session its last `most` messages, and what follows it directly.

        Of a session that is not long, all messages. Raises `MessageNotFound`.
        """

    async def records(self, owner: str, session_id: str) -> Records | None:
        """Return the ids of a long session's records, once the disk has all of it; `None` for a session that is not."""

    async def archived_messages(
        self, owner: str, session_id: str, message_ids: Sequence[str]
    ) -> list[ArchivedMessage]:
        """Return the first of these messages with their images, as `some` does."""

    async def archived_streams(
        self, owner: str, session_id: str, stream_ids: Sequence[str]
    ) -> list[ArchivedStream]:
        """Return these streams."""

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """Return the owner's sessions, newest first, with every word of `query` in their title or a message."""

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """Change the title of a session."""

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """Replace the options of a session. Raises `StorageFull`, unless they are shorter than the old ones."""

    async def delete(self, owner: str, session_id: str, *, undoable: bool = False) -> None:
        """Delete a session and everything in it.

        With `undoable`, `undelete` can bring it back within `undo.SECONDS`, unless it is larger than `undo.MOST_BYTES`
        or others crowd it out. Until then it counts for nobody, and no other method knows it.
        """

    async def restorable(self, owner: str, session_id: str) -> str:
        """Return the id under which a deleted session would come back: another one if its own is in use again.

        Raises `NothingToRestore`.
        """

    async def undelete(self, owner: str, session_id: str, back_as: str) -> None:
        """Bring back a deleted session under the id that `restorable` has just returned. It is never too large.

        What ran becomes `interrupted`, and is not continued unasked. Raises `NothingToRestore`.
        """

    async def archive(self, owner: str, session_id: str) -> Archive:
        """Return a consistent snapshot of a session; of a running answer, only the text of the last `finish`."""

    async def restore(self, owner: str, archive: Archive) -> None:
        """Store the session of an archive, which must not have a `flaw`. Running streams become `interrupted`.

        Raises `SessionExists`, `StorageFull`.
        """

    def writing(self, owner: str, session_id: str) -> AbstractAsyncContextManager[SessionWriter]:
        """Store a session piece by piece. Nobody sees it before `finish`; without one, nothing of it is kept.

        Raises `SessionExists`, `StorageFull`.
        """

    async def usage(self, owner: str) -> Usage:
        """Return what an owner has stored."""
