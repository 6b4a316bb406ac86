"""What a server uses while something happens."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from tests.benchmarks.load.client.answer import Answer
from tests.benchmarks.load.servers.target import Target

SETTLE = 0.02  # s; the kernel books the time of a running process at its next tick, or when it sleeps


class Usage(NamedTuple):
    """What a server used while tokens were delivered."""

    seconds: float
    cpu: float  # s
    tokens: int

    @property
    def cpu_per_token(self) -> float:
        """Microseconds of processor time per token."""
        return self.cpu / self.tokens * 1e6 if self.tokens else 0.0


class Meter:
    """Measures the use of a server or several, and the tokens of answers, from its making until `read`."""

    def __init__(self, target: Target | list[Target], answers: list[Answer] | None = None) -> None:
        self._targets = target if isinstance(target, list) else [target]
        self._answers = answers if answers is not None else []
        self._since = self._now()

    def __repr__(self) -> str:
        return f"<Meter {[target.name for target in self._targets]}>"

    def _now(self) -> Usage:
        tokens = sum(answer.tokens for answer in self._answers)
        return Usage(time.perf_counter(), sum(target.cpu() for target in self._targets), tokens)

    def read(self) -> Usage:
        """Return what was used since the beginning."""
        now, since = self._now(), self._since
        return Usage(now.seconds - since.seconds, now.cpu - since.cpu, now.tokens - since.tokens)

    async def settled(self) -> Usage:
        """Return the same once the kernel has booked it all."""
        await asyncio.sleep(SETTLE)
        return self.read()
