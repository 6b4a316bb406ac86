"""Channels: one listener per session log and format. It encodes each entry once and shares it with all viewers."""

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

    last: int  # the sequence number that the viewer has reached after it; 0: it does not move the cursor
    stream_id: str
    is_end: bool  # whether it ends its stream
    blocks: int  # the number of block frames in it
    data: bytes
    wire: bytes  # `data` as one chunk of a chunked response


class Follower(Protocol):
    """A live viewer: it has caught up with the log and receives new pieces."""

    def show(self, piece: Piece) -> None:
        """Write the piece. Must not raise or block."""
        ...

    def fail(self, error: Exception) -> None:
        """Abort the response after an encoding error; the client reconnects with its cursor."""
        ...


class Channel:
    """Sends each entry to its followers. It listens to the log only while it has followers."""

    def __init__(self, session: Session, encode: Encoder) -> None:
        self.session = session
        self.encode = encode
        self._followers: list[Follower] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session.session_id} followers={len(self._followers)}>"

    @property
    def followers(self) -> int:
        """The number of live viewers."""
        return len(self._followers)

    def follow(self, follower: Follower) -> None:
        """Send all entries from now on to `follower`."""
        if not self._followers:
            self.session.log.listen(self._on_entry)
        self._followers = [*self._followers, follower]

    def forget(self, follower: Follower) -> None:
        """Stop sending to `follower`. Idempotent."""
        self._followers = [other for other in self._followers if other is not follower]
        if not self._followers:
            self.session.log.forget(self._on_entry)

    def close(self) -> None:
        """Drop all followers and stop listening to the log."""
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
        # A follower may leave during this loop, so changes replace the list and never mutate it.
        for follower in self._followers:
            follower.show(piece)

    def _fail(self, error: Exception) -> None:
        for follower in self._followers:
            follower.fail(error)


def sse_channel(session: Session) -> Channel:
    """Return a channel in the format of EventSource."""
    return Channel(session, FrameEncoder(f"{session.log.epoch}-").encode)


def ndjson_channel(session: Session) -> Channel:
    """Return a channel that encodes NDJSON."""
    return Channel(session, ndjson)


C = TypeVar("C", bound=Channel)


class Channels(Generic[C]):
    """The channels of one format: one for each session that has viewers."""

    def __init__(self, make: Callable[[Session], C]) -> None:
        self._make = make
        self._open: dict[Session, tuple[C, set[object]]] = {}

    def __repr__(self) -> str:
        return f"<Channels {list(self)}>"

    def __iter__(self) -> Iterator[C]:
        return (channel for channel, _ in self._open.values())

    def join(self, session: Session, viewer: object) -> C:
        """Return the session's channel and register `viewer`, which must call `leave` when it is done."""
        if session not in self._open:
            self._open[session] = (self._make(session), set())
        channel, viewers = self._open[session]
        viewers.add(viewer)
        return channel

    def leave(self, session: Session, viewer: object) -> None:
        """Unregister `viewer`. The channel closes with its last viewer. Idempotent."""
        channel, viewers = self._open.get(session, (None, set()))
        viewers.discard(viewer)
        if channel is not None and not viewers:
            del self._open[session]
            channel.close()
