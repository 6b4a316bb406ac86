"""How much is measured: the whole benchmark, and a quick one that only shows that it works."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from tests.benchmarks.load.model import Manner, Model, Order
from tests.benchmarks.load.servers import Cores


class Scale(NamedTuple):
    """Counts, and times in seconds."""

    rounds: int = 5
    streams: int = 200  # paced ones, all running at once
    window: float = 2.0  # in which they are measured
    probes: int = 40  # answers asked for in addition, to time their first token
    flat_streams: int = 20
    flat_tokens: int = 4000  # of each
    viewers: int = 200  # of one stream
    fan_rounds: int = 3
    stops: int = 100
    waiting: int = 1000
    idle_window: float = 3.0
    storms: int = 2
    storm_sessions: int = 50
    storm_prompts: int = 5  # of each session, 20 ms apart
    storm_spread: float = 5.0  # over which the sessions begin


QUICK = Scale(
    rounds=1,
    streams=20,
    window=0.3,
    probes=5,
    flat_streams=4,
    flat_tokens=200,
    viewers=10,
    fan_rounds=1,
    stops=10,
    waiting=20,
    idle_window=0.2,
    storms=1,
    storm_sessions=5,
    storm_spread=0.2,
)


class Bench:
    """What every measurement needs: the model, the scale, the cores, and keys that nobody used before."""

    def __init__(self, model: Model, scale: Scale, cores: Cores) -> None:
        self.model = model
        self.scale = scale
        self.cores = cores
        self._keys = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Bench {self.scale!r}>"

    def keys(self, count: int) -> list[int]:
        """Return unused keys."""
        return list(itertools.islice(self._keys, count))

    def orders(self, count: int, manner: Manner, tokens: int) -> Iterator[Order]:
        """Yield orders, each for a session of its own."""
        for key in self.keys(count):
            yield Order(key, f"bench-{key}", manner, tokens)

    def orders_in(self, session: str, count: int, tokens: int) -> Iterator[Order]:
        """Yield paced orders for one session."""
        for key in self.keys(count):
            yield Order(key, session, "paced", tokens)
