"""A session's log in one format, followed once for all its viewers: each entry is encoded once, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from app.log.entries import Entry
from app.streams.session import Session
from app.web.events.encoders import Encoder, FrameEncoder, ndjson
from app.web.events.response import chunk


class Piece(msgspec.Struct, eq=False, gc=False):
    """What a viewer that has shown everything shows next."""

    last: int  # the place in the log up to which everything has been shown with it; 0: it moves no cursor
    stream_id: str
    is_end: bool  # of its stream
    blocks: int  # how many frames of blocks are in it
    data: bytes
    wire: bytes  # the same, as a chunk of a chunked response


class Follower(Protocol):
    """A viewer that has shown all there is, and is told what is new."""

    def show(self, piece: Piece) -> None:
        """Show it. Must not raise or wait."""
        ...

    def fail(self, error: Exception) -> None:
        """Something cannot be shown: cut the response, so that the client reads on from its cursor."""
        ...


class Channel:
    """Tells its followers of each entry; without any it is not even a listener of the log."""

    def __init__(self, session: Session, encode: Encoder) -> None:
        self.session = session
        self.encode = encode
        self._followers: list[Follower] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session.session_id} followers={len(self._followers)}>"

    @property
    def followers(self) -> int:
        """How many viewers keep up."""
        return len(self._followers)

    def follow(self, follower: Follower) -> None:
        """Tell `follower` of everything from now on."""
        if not self._followers:
            self.session.log.listen(self._on_entry)
        self._followers = [*self._followers, follower]

    def forget(self, follower: Follower) -> None:
        """Tell it no more. Idempotent."""
        self._followers = [other for other in self._followers if other is not follower]
        if not self._followers:
            self.session.log.forget(self._on_entry)

    def close(self) -> None:
        """Nobody looks any more."""
        self._followers = []
        self.session.log.forget(self._on_entry)

    def _on_entry(self, entry: Entry) -> None:
        """Called by the log, synchronously: once for every token."""
        try:
            data = self.encode(entry)
        except Exception as error:  # noqa: BLE001 - each follower reports it
            self._fail(error)
        else:
            piece = Piece(entry.seq, entry.stream_id, entry.name == "end", 0, data, chunk(data))
            for follower in self._followers:
                follower.show(piece)

    def _tell(self, piece: Piece) -> None:
        # A follower may leave while it is told, so the list is replaced on change, never changed.
        for follower in self._followers:
            follower.show(piece)

    def _fail(self, error: Exception) -> None:
        for follower in self._followers:
            follower.fail(error)


def sse_channel(session: Session) -> Channel:
    """Return a channel in the format of EventSource."""
    return Channel(session, FrameEncoder(f"{session.log.epoch}-").encode)


def ndjson_channel(session: Session) -> Channel:
    """Return a channel of JSON lines."""
    return Channel(session, ndjson)


C = TypeVar("C", bound=Channel)


class Channels(Generic[C]):
    """The channels of one format, of all sessions that somebody looks at."""

    def __init__(self, make: Callable[[Session], C]) -> None:
        self._make = make
        self._open: dict[Session, tuple[C, set[object]]] = {}

    def __repr__(self) -> str:
        return f"<Channels {list(self)}>"

    def __iter__(self) -> Iterator[C]:
        return (channel for channel, _ in self._open.values())

    def join(self, session: Session, viewer: object) -> C:
        """Return the channel of a session, for as long as `viewer` does not leave it."""
        if session not in self._open:
            self._open[session] = (self._make(session), set())
        channel, viewers = self._open[session]
        viewers.add(viewer)
        return channel

    def leave(self, session: Session, viewer: object) -> None:
        """`viewer` looks no more; the last one takes the channel along. Idempotent."""
        channel, viewers = self._open.get(session, (None, set()))
        viewers.discard(viewer)
        if channel is not None and not viewers:
            del self._open[session]
            channel.close()
