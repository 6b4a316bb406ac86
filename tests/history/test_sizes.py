"""Limits in bytes: of texts that wait for the disk, and of sessions that were deleted a moment ago."""

from __future__ import annotations

import pytest

from app.chat.archive import Archive, ArchivedMessage, size
from app.chat.errors import HistoryUnavailable
from app.chat.sizes import utf8_size
from app.history.write_queue.changes import Finish
from app.history.write_queue.queue import QueuedChange, WriteQueue
from tests.history.samples import ended, exchange


@pytest.mark.parametrize(
    ("text", "bytes_"), [("", 0), ("abc", 3), ("\u00e9", 2), ("\u8a9e", 3), ("\U0001f600", 4), ("\ud800", 3)]
)
def test_a_text_is_as_large_as_in_utf8(text: str, bytes_: int) -> None:
    """One to four bytes a character; a lone surrogate as what replaces it."""
    assert utf8_size(text) == bytes_


def test_the_backlog_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a text that is over the limit in bytes, and under it in characters, nothing waits any more."""
    monkeypatch.setattr("app.history.write_queue.queue.BACKLOG_BYTES", 3000)
    state = ended(exchange())
    line = WriteQueue()
    line.append(QueuedChange(Finish(state, "語" * 1000, "", "2026-01-01T00:00:00Z"), None, None))
    with pytest.raises(HistoryUnavailable):
        line.append(QueuedChange(Finish(state, "", "", "2026-01-01T00:00:00Z"), None, None))


def test_an_archive_counts_bytes() -> None:
    """So what is kept of deleted sessions stays within its limit."""
    assert size(_archive("\u8a9e" * 100)) - size(_archive("")) == 300


def _archive(content: str) -> Archive:
    message = ArchivedMessage(
        message_id="m",
        parent_id=None,
        role="user",
        content=content,
        stream_id=None,
        created_at="2026-01-01T00:00:00Z",
    )
    return Archive(
        kind="tailrace-session",
        version=1,
        session_id="s",
        title="",
        created_at=message.created_at,
        updated_at=message.created_at,
        messages=[message],
        streams=[],
    )
