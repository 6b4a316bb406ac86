"""What can be done to the history, as data: it stands in the writer's line until the disk has it."""

from __future__ import annotations

from typing import NamedTuple

from app.chat.archive import Archive
from app.chat.ports import Kind, Options
from app.chat.records import Exchange, StreamState


class Admit(NamedTuple):
    """Keep a prompt and the place of its answer."""

    exchange: Exchange


class Finish(NamedTuple):
    """Keep an answer, and the state in which its stream ended."""

    state: StreamState
    content: str
    reasoning: str
    ended_at: str  # RFC 3339, UTC


class Discard(NamedTuple):
    """Drop the messages of an exchange, or give a continued answer back to the stream before."""

    stream_id: str


class Withdraw(NamedTuple):
    """Undo `Admit`, whether or not it ever came to the disk."""

    stream_id: str


class Rename(NamedTuple):
    """Give a session another title."""

    owner: str
    session_id: str
    title: str


class Configure(NamedTuple):
    """Give a session other options."""

    owner: str
    session_id: str
    options: Options


class Delete(NamedTuple):
    """Forget a session and everything in it."""

    owner: str
    session_id: str


class Restore(NamedTuple):
    """Keep a session as a whole."""

    owner: str
    archive: Archive


class Mark(NamedTuple):
    """Nothing; but once it is done, so is all that stood before it."""


class Piece(NamedTuple):
    """What an answer has grown by."""

    message_id: str
    kind: Kind
    start: int  # index of its first token in its kind
    tokens: int
    text: str
    elapsed_ms: int  # since the prompt was admitted


Change = Admit | Finish | Discard | Withdraw | Rename | Configure | Delete | Restore | Mark
