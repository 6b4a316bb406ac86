"""What the heart counts, for metrics and tests."""

from __future__ import annotations

from collections import Counter

import msgspec

from app.chat.states import Outcome


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The heart at one moment. Counters grow for as long as the process lives; gauges say what is there now."""

    sessions: int  # live ones
    active: int  # streams thinking or streaming
    queued: int
    viewers: int
    zombies: int  # producers that outlived their bound and have not ended yet
    started: int
    tokens: int
    ended: dict[str, int]  # by outcome


class Counters:
    """Counters shared by the sessions of one registry."""

    def __init__(self) -> None:
        self.started = 0
        self.busy = 0  # sessions with a stream in line
        self.zombies = 0
        self.tokens = 0
        self.ended: Counter[Outcome] = Counter()

    def __repr__(self) -> str:
        return f"<Tally started={self.started} ended={sum(self.ended.values())} zombies={self.zombies}>"

    def count_end(self, outcome: Outcome | None, tokens: int) -> None:
        """Count one ended stream."""
        if outcome is not None:
            self.ended[outcome] += 1
        self.tokens += tokens
