"""The changes of the history, as data. They are queued for the writer until they are on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.ports import Kind, Options
from app.chat.quotas import StorageLimits, UseLimits
from app.chat.records import Exchange, Seen, StreamState


class Admit(NamedTuple):
    """Store a prompt and its empty answer, or assign an answer to the stream that continues it."""

    exchange: Exchange
    limits: StorageLimits | None = None  # of its owner
    use: UseLimits | None = None  # of its owner, on all nodes together


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


class SetAside(NamedTuple):
    """Delete a session so that its owner can have it back for `undo.SECONDS`."""

    owner: str
    session_id: str


class BringBack(NamedTuple):
    """Give a deleted session back to its owner."""

    owner: str
    session_id: str  # under which it is kept
    was: str  # the id under which it was deleted


class Expire(NamedTuple):
    """Delete a session for good that was set aside, if its time is over. Of a long one `Prune` deletes the rows."""

    session_id: str


class GiveUp(NamedTuple):
    """Delete a session for good that was set aside, whatever time is left. `Prune` deletes its rows."""

    owner: str
    session_id: str


class Begin(NamedTuple):
    """Create a hidden session, which `Fill` adds to. `Reveal` gives it to its owner; `Prune` deletes it."""

    session_id: str
    owner: str
    limits: StorageLimits | None = None  # of the owner


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
    limits: StorageLimits | None = None  # of the owner


class Hide(NamedTuple):
    """Take a session from its owner, to delete it with `Prune`."""

    owner: str
    session_id: str


class Prune(NamedTuple):
    """Delete some records of a hidden session, or, if there are none, the session."""

    session_id: str


class Interrupt(NamedTuple):
    """End the streams of a session that an earlier owner left unfinished, but for one that is started again."""

    session_id: str
    living: frozenset[str] = frozenset()  # the streams that run here
    seen: tuple[Seen, ...] = ()  # of them, in any order
    goes_on: str | None = None  # the stream that is started again


class Halt(NamedTuple):
    """Let only the user continue an answer that was interrupted, or is about to be."""

    session_id: str
    stream_id: str | None = None  # of the answer; `None`: the newest one


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
    | SetAside
    | BringBack
    | Expire
    | GiveUp
    | Begin
    | Fill
    | Reveal
    | Hide
    | Prune
    | Interrupt
    | Halt
    | Mark
)


def session_of(change: Change) -> str | None:
    """Return the id of the session that a change is about; `None` if it names none."""
    match change:
        case Admit():
            return change.exchange.session_id
        case Finish():
            return change.state.session_id
        case Reveal():
            return change.archive.session_id
        case Discard() | Withdraw() | Mark():
            return None
        case _:
            return change.session_id
