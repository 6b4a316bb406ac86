"""What a log tells Redis to forget, and for how long it is kept."""

from __future__ import annotations

from typing import Any

import hiredis

from app.log.shared.mirror import Mirror
from app.log.shared.redis.wire import OnReply
from app.log.shared.retention import Retention, expiry

SECONDS = 100.0


class Sent:
    """A mirror of epoch 3, and the commands for its stream."""

    def __init__(self, head: int = 0) -> None:
        self.mirror = Mirror(3, max_bytes=1_000_000, clock=lambda: 0.0)
        self.mirror.begin_at(head)
        self.commands: list[list[str]] = []
        self.replied: list[OnReply] = []
        self.elsewhere = 0
        self.retention = Retention(
            "k", self.mirror, seconds=SECONDS, send=self._send, elsewhere=self._is_elsewhere
        )

    def _send(self, encoded: bytes, on_reply: OnReply) -> None:
        reader: Any = hiredis.Reader()
        reader.feed(encoded)
        self.commands.append([word.decode() for word in reader.gets()])
        self.replied.append(on_reply)

    def _is_elsewhere(self) -> None:
        self.elsewhere += 1


def test_the_stream_loses_what_the_mirror_has_lost() -> None:
    """Once, and only what is before the mirror's first event."""
    sent = Sent()
    sent.retention.trim()
    assert sent.commands == []
    sent.mirror.begin_at(7)
    sent.retention.trim()
    sent.retention.trim()
    assert sent.commands == [["XTRIM", "k", "MINID", "~", "3-8"]]
    assert sent.retention.trimmed == 7


def test_what_an_earlier_epoch_counts_for_is_kept() -> None:
    """Until the mirror has nothing of it either: else a new owner could not tell how far it counts."""
    sent = Sent()
    sent.mirror.begin_at(7)
    sent.mirror.cuts = {2: 9}
    sent.retention.trim()
    assert sent.commands == []
    sent.mirror.begin_at(9)
    sent.mirror.cuts = {2: 9}
    sent.retention.trim()
    assert sent.commands == [["XTRIM", "k", "MINID", "~", "3-10"]]


def test_its_life_is_prolonged_once_for_each_head() -> None:
    """A log in which nothing happens is not kept for ever."""
    sent = Sent()
    for head in (1, 1, 2):
        sent.retention.prolong(head)
    assert sent.commands == [["EXPIRE", "k", str(expiry(SECONDS))]] * 2


def test_a_deletion_is_repeated_where_another_redis_has_the_log() -> None:
    """Nothing is deleted of a log that was not."""
    sent = Sent(head=5)
    sent.retention.clear_again()
    assert sent.commands == []
    sent.retention.clear()
    sent.retention.clear_again()
    sent.retention.clear_again(0)
    assert [command[-1] for command in sent.commands] == ["3-6", "3-6", "3-0"]


def test_a_stream_that_is_elsewhere_is_looked_for() -> None:
    """And its life prolonged there. Another failure is repaired by the next command."""
    sent = Sent()
    sent.retention.prolong(1)
    sent.replied[-1](hiredis.ReplyError("ERR busy"))
    assert (sent.elsewhere, sent.retention.prolonged) == (0, 1)
    sent.replied[-1](hiredis.ReplyError("MOVED 1 127.0.0.1:1"))
    assert (sent.elsewhere, sent.retention.prolonged) == (1, None)
    sent.retention.prolong(1)
    assert len(sent.commands) == 2
