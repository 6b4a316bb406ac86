"""The operations page as JSON, for scripts of an operator. As on the page, no text of a chat is in it."""

from __future__ import annotations

from typing import Any

import msgspec

from app.chat.scoped_ids import bare, owner_of
from app.streams.counters import EndedStream
from app.streams.overview import LiveStream
from app.web.ops.board import Board

FIGURES = (
    "sessions",
    "active",
    "limit",
    "queued",
    "viewers",
    "zombies",
    "log_bytes",
    "started",
    "tokens",
    "ended",
)
ENDED = ("stream_id", "model", "outcome", "duration_ms", "ttft_ms", "completion_tokens", "tokens_per_second",
         "upstream_closed")  # fmt: skip


def as_json(board: Board) -> dict[str, Any]:
    """Return a reading of the server. Times are in seconds unless a name ends in `_ms`; `ended_at` is POSIX time."""
    statistics = board.overview.statistics
    return {
        "owner": board.owner,
        "draining": board.overview.draining,
        "statistics": {
            **{name: getattr(statistics, name) for name in FIGURES},
            "in_line": sum(line.waiting for line in statistics.lines),
        },
        "live": [_live(stream) for stream in board.overview.live],
        "more": board.overview.more,
        "ended": [_ended(end) for end in board.overview.ended],
        "viewers_behind": board.lag.viewers,
        "backends": [
            {
                "name": health.backend,
                "available": health.available if health.age is not None else None,
                "models": health.models,
                "error": health.failure.code if health.failure else None,
            }
            for health in board.backends
        ],
        "history": {
            "writable": not board.history.failing,
            "changes": board.history.changes,
            "bytes": board.history.bytes,
            "transactions": board.history.batches.count,
            "transaction_seconds": board.history.batches.total,
        },
    }


def _live(stream: LiveStream) -> dict[str, Any]:
    return {**msgspec.structs.asdict(stream), **_whose(stream.session_id)}


def _ended(end: EndedStream) -> dict[str, Any]:
    state = end.state
    return {
        **_whose(state.session_id),
        **{name: getattr(state, name) for name in ENDED},
        "error": state.error.code if state.error else None,
        "ended_at": end.ended_at,
    }


def _whose(scoped_id: str) -> dict[str, str]:
    return {"owner": owner_of(scoped_id), "session_id": bare(scoped_id)}
