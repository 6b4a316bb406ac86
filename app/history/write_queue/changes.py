"""The changes of the history, as data. They are queued for the writer until they are on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.ports import Kind, Options
from app.chat.quotas import StorageLimits
from app.chat.records import Exchange, StreamState


class Admit(NamedTuple):
    """Store a prompt and its empty answer, or assign an answer to the stream that continues it."""

    exchange: Exchange
    limits: StorageLimits | None = None  # of its owner
    request: Options | None = None  # what it asked for, to be stored in a cluster


class Finish(NamedTuple):
    """Store an answer and the final state of its stream."""

    state: StreamState
    content: str
    reasoning: str
    ended_at: str  # RFC 3339, UTC


class Discard(NamedTuple):
    """Delete the messages of an exchange, or return a continued answer to its previous stream."""

    stream_id: str


class Withdraw(NamedTuple):
    """Undo `Admit`, whether or not it reached the disk."""

    stream_id: str


class Rename(NamedTuple):
    """Set the title of a session."""

    owner: str
    session_id: str
    title: str


class Configure(NamedTuple):
    """Set the options of a session."""

    owner: str
    session_id: str
    options: Options
    limits: StorageLimits | None = None  # of the owner


class Delete(NamedTuple):
    """Delete a session with everything in it."""

    owner: str
    session_id: str


class Begin(NamedTuple):
    """Create a hidden session, which `Fill` adds to. `Reveal` gives it to its owner; `Prune` deletes it."""

    session_id: str
    owner: str
    limits: StorageLimits | None = None  # of the owner; none for the undo of a deletion


class Fill(NamedTuple):
    """Add messages, streams and keys to a hidden session."""

    session_id: str
    messages: Sequence[ArchivedMessage]
    streams: Sequence[ArchivedStream]
    keys: Sequence[ArchivedKey] = ()


class Reveal(NamedTuple):
    """Give a hidden session to its owner. The archive has the session's own fields; its lists are ignored."""

    owner: str
    archive: Archive
    limits: StorageLimits | None = None  # of the owner; none for the undo of a deletion


class Hide(NamedTuple):
    """Take a session from its owner, to delete it with `Prune`."""

    owner: str
    session_id: str


class Prune(NamedTuple):
    """Delete some records of a hidden session, or, if there are none, the session."""

    session_id: str


class Interrupt(NamedTuple):
    """End the streams of a session that an earlier owner left unfinished."""

    session_id: str
    living: frozenset[str] = frozenset()  # the streams that run here


class Mark(NamedTuple):
    """Does nothing. When it completes, all changes queued before it are on disk."""


class Piece(NamedTuple):
    """New text of a growing answer. Not a `Change`."""

    message_id: str
    kind: Kind
    start: int  # index of its first token, counted per kind
    tokens: int
    text: str
    elapsed_ms: int  # since the prompt was admitted


Change = (
    Admit
    | Finish
    | Discard
    | Withdraw
    | Rename
    | Configure
    | Delete
    | Begin
    | Fill
    | Reveal
    | Hide
    | Prune
    | Interrupt
    | Mark
)
