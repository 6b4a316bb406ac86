"""Counters of streams and sessions, for metrics and tests."""

from __future__ import annotations

from collections import Counter

import msgspec

from app.chat.states import Outcome


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of gauges and counters. Counters run from the start of the process."""

    # Gauges
    sessions: int  # live sessions
    active: int  # sessions with a running stream
    queued: int  # streams behind a running one
    viewers: int
    zombies: int  # producers past their bound that have not ended yet
    # Counters
    started: int
    tokens: int  # pieces in answers that have ended
    ended: dict[str, int]  # by outcome


class Counters:
    """Counters shared by the sessions of one registry."""

    def __init__(self) -> None:
        self.started = 0
        self.busy = 0  # sessions with a stream in their queue
        self.zombies = 0
        self.tokens = 0
        self.ended: Counter[Outcome] = Counter()

    def __repr__(self) -> str:
        return f"<Counters started={self.started} ended={sum(self.ended.values())} zombies={self.zombies}>"

    def count_end(self, outcome: Outcome | None, tokens: int) -> None:
        """Count an ended stream and its tokens."""
        if outcome is not None:
            self.ended[outcome] += 1
        self.tokens += tokens
