"""How many event streams each owner has open, and how much of them is unread.

Each holds a connection, so one owner could take all there are. Connections are counted by address before anybody is
let in, but not those of a proxy, who sends everybody's. What a client has not read waits in memory: beyond a bound
those with the most are aborted. Their clients can resume with their cursors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from app.chat.errors import OwnerEventStreams
from app.chat.quotas import is_limited

RETRY = 10.0  # seconds: when one will be closed is not known
MOST_UNREAD = 24 * 1024 * 1024  # bytes of one owner's
MOST_ELSEWHERE = 256  # sessions of other nodes on one owner's pages; each holds a connection there


class Open(Protocol):
    """An open event stream."""

    @property
    def unread(self) -> int:
        """The bytes that wait for its client."""

    @property
    def elsewhere(self) -> int:
        """The number of sessions on it that other nodes own."""

    def cut(self) -> None:
        """See `Cuttable`."""


class OpenStreams:
    """The open event streams by owner; `most` are allowed to each, except to those who have no limits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, set[Open]] = {}

    def __repr__(self) -> str:
        return f"<OpenStreams {self.total} owners={len(self._open)}>"

    @property
    def total(self) -> int:
        """The number of open event streams of all owners."""
        return sum(map(len, self._open.values()))

    def check(self, owner: str, *, elsewhere: int = 0) -> None:
        """Raise `OwnerEventStreams` if the owner may not open another one now, with sessions of other nodes on it."""
        if not is_limited(owner):
            return
        mine = self._open.get(owner, ())
        if elsewhere and sum(stream.elsewhere for stream in mine) + elsewhere > MOST_ELSEWHERE:
            raise OwnerEventStreams(
                f"Your pages show too many chats at once; the limit is {MOST_ELSEWHERE}. "
                "Close other tabs or programs, then try again.",
                RETRY,
            )
        if len(mine) >= self._most:
            raise OwnerEventStreams(
                f"You have too many event streams open; the limit is {self._most}. "
                "Close other tabs or programs, then try again.",
                RETRY,
            )

    @contextmanager
    def counted(self, owner: str, stream: Open) -> Iterator[None]:
        """Count one of the owner's for the duration of the block."""
        mine = self._open.setdefault(owner, set())
        mine.add(stream)
        try:
            yield
        finally:
            mine.discard(stream)
            if not mine:
                self._open.pop(owner, None)

    def make_room(self, owner: str) -> None:
        """Abort the owner's streams with the most unread bytes, if all have more than they may."""
        if not is_limited(owner):
            return
        sizes = {stream: stream.unread for stream in self._open.get(owner, ())}
        total = sum(sizes.values())
        for stream in sorted(sizes, key=lambda each: sizes[each], reverse=True):
            if total <= MOST_UNREAD:
                return
            total -= sizes[stream]
            stream.cut()
