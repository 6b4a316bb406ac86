"""How much Redis keeps of a log, and for how long: the stream loses what the mirror has lost."""

from __future__ import annotations

from collections.abc import Callable

import hiredis

from app.log.shared.mirror import Mirror
from app.log.shared.redis.wire import ELSEWHERE, OnReply, Reply, command


class Retention:
    """Trims a stream, prolongs its life and deletes what is in it.

    `send` sends a command to where the stream is now. `elsewhere` is called when a reply says that it is not there.
    """

    def __init__(
        self,
        key: str,
        mirror: Mirror,
        *,
        seconds: float,
        send: Callable[[bytes, OnReply], None],
        elsewhere: Callable[[], None],
    ) -> None:
        self.trimmed = mirror.floor  # up to which event the stream has lost what the mirror has
        self.prolonged: int | None = None  # the head when the stream's time to live was last set
        self._key = key
        self._mirror = mirror
        self._seconds = seconds
        self._send = send
        self._elsewhere = elsewhere
        self._cleared: int | None = None  # up to which event the log was deleted

    def __repr__(self) -> str:
        return f"<Retention {self._key} trimmed={self.trimmed} cleared={self._cleared}>"

    def trim(self) -> None:
        """Let the stream lose what the mirror has lost, once that has nothing of an earlier epoch."""
        floor = self._mirror.floor
        if floor > self.trimmed and floor >= max(self._mirror.cuts.values(), default=0):
            self.trimmed = floor
            least = f"{self._mirror.epoch}-{floor + 1}"
            self._send(command("XTRIM", self._key, "MINID", "~", least), self._done)

    def prolong(self, head: int) -> None:
        """Set the stream's time to live, unless that was done at this head."""
        if self.prolonged != head:
            self.prolonged = head
            self._send(command("EXPIRE", self._key, expiry(self._seconds)), self._done)

    def clear(self) -> None:
        """Delete what the log has so far."""
        self._cleared = self._mirror.head
        self.clear_again(self._cleared + 1)

    def clear_again(self, least: int | None = None) -> None:
        """If the log was deleted, delete what a Redis may still have of it: what comes before `least`.

        By default that is all that was deleted.
        """
        if self._cleared is not None:
            seq = self._cleared + 1 if least is None else least
            place = f"{self._mirror.epoch}-{seq}"
            self._send(command("XTRIM", self._key, "MINID", place), self._done)

    def _done(self, reply: Reply) -> None:
        """A failure is repaired by the next command of its kind, but not if the key is elsewhere."""
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith(ELSEWHERE):
            self.prolonged = None
            self._elsewhere()


def expiry(seconds: float) -> int:
    """Return after how many seconds without use a stream of that retention ends."""
    return int(seconds) + 60  # its life is prolonged every half minute
