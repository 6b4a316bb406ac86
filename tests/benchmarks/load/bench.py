"""What every scenario needs, and how much is measured: the whole benchmark, or a quick one that shows that it works."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from tests.benchmarks.load.client.answer import all_ended, ask_all
from tests.benchmarks.load.model import Manner, Model, Order
from tests.benchmarks.load.servers.running import Servers
from tests.benchmarks.load.servers.target import PEERS, Target

T = TypeVar("T")
WARM = 20  # answers


class Scale(NamedTuple):
    """Counts, and times in seconds."""

    rounds: int = 3
    streams: int = 200  # paced ones, all running at once
    window: float = 1.5  # in which they are measured
    probes: int = 40  # answers asked for in addition, to time their first token
    flat_streams: int = 20
    flat_tokens: int = 4000  # of each
    visitors: int = 40  # who exchange at the same time
    exchanges: int = 10  # of each
    viewers: int = 200  # of one stream
    running: float = 5.0  # that streams have been running when their memory is read
    stops: int = 100
    waiting: int = 1000
    idle_window: float = 3.0
    storm_sessions: int = 50
    storm_prompts: int = 5  # of each session, 20 ms apart
    storm_spread: float = 5.0  # over which the sessions begin
    growth: tuple[int, ...] = (10, 100, 1000)  # streams, for the plot
    long_streams: int = 20
    long_tokens: int = 50_000  # of an answer, when the cost of its next tokens is measured
    page_messages: int = 1000
    listed: int = 10_000  # sessions
    cluster_streams: int = 60  # at each node
    cluster_window: float = 3.0
    cluster_readers: int = 40  # at another node
    cluster_prompts: int = 8  # behind a paused owner


QUICK = Scale(
    rounds=1,
    streams=20,
    window=0.3,
    probes=5,
    flat_streams=4,
    flat_tokens=200,
    visitors=4,
    exchanges=2,
    viewers=10,
    running=1.5,
    stops=10,
    waiting=20,
    idle_window=0.2,
    storm_sessions=5,
    storm_spread=0.2,
    growth=(2, 20),
    long_streams=2,
    long_tokens=500,
    page_messages=20,
    listed=200,
    cluster_streams=5,
    cluster_window=0.3,
    cluster_readers=3,
    cluster_prompts=2,
)


class Bench:
    """The model, the servers, the scale, and keys that nobody used before."""

    def __init__(self, model: Model, servers: Servers, scale: Scale) -> None:
        self.model = model
        self.servers = servers
        self.scale = scale
        self._keys = itertools.count(1)
        self._began = time.perf_counter()
        self._warm: set[str] = set()  # the names of the servers that have been used

    def __repr__(self) -> str:
        return f"<Bench {self.scale!r}>"

    def keys(self, count: int) -> list[int]:
        """Return unused keys."""
        return list(itertools.islice(self._keys, count))

    def orders(self, count: int, manner: Manner, tokens: int, lead: int = 0) -> Iterator[Order]:
        """Yield orders, each for a session of its own."""
        for key in self.keys(count):
            yield Order(key, f"bench-{key}", manner, tokens, lead)

    def orders_in(self, session: str, count: int, tokens: int) -> Iterator[Order]:
        """Yield paced orders for one session."""
        for key in self.keys(count):
            yield Order(key, session, "paced", tokens)

    def say(self, text: str) -> None:
        """Show what goes on, beside the table."""
        print(f"{time.perf_counter() - self._began:5.0f} s  {text}", file=sys.stderr, flush=True)

    async def alternate(
        self,
        names: Sequence[str],
        measure: Callable[[Target], Awaitable[T]],
        tell: Callable[[T], str] = str,
    ) -> dict[str, list[T]]:
        """Measure servers in rounds; return what came of each, by name. Peers that cannot be run are left out.

        They take turns in going first: whoever comes later finds a warmer machine. A peer that does not keep up is
        left out of the rest, too.
        """
        results: dict[str, list[T]] = {name: [] for name in names}
        left_out: set[str] = set()
        for number in range(self.scale.rounds):
            for name in names if number % 2 else reversed(names):
                target = None if name in left_out else await self._server(name)
                if target is None:
                    continue
                try:
                    result = await measure(target)
                except TimeoutError as error:
                    await self._give_up(name, error)
                    left_out.add(name)
                    results[name].clear()
                    continue
                results[name].append(result)
                self.model.forget()
                self.say(f"round {number + 1} of {self.scale.rounds}, {name}: {tell(result)}")
        return results

    async def _give_up(self, name: str, error: TimeoutError) -> None:
        """End a peer that does not keep up. Raises the error if it is no peer."""
        if name not in PEERS:
            raise error
        self.servers.missing[name] = f"it did not always keep up: {error}"
        self.say(f"{name} is left out: {error}")
        await self.servers.end(name)
        self._warm.discard(name)
        self.model.forget()

    async def _server(self, name: str) -> Target | None:
        """Return a server that has been used a little, `None` if it is a peer that cannot be run here."""
        target = await self.servers.get(name)
        if target is not None and name not in self._warm:
            self._warm.add(name)
            await self.warm(target)
        return target

    async def warm(self, target: Target) -> None:
        """Use a server a little, so that what is loaded late is loaded."""
        await all_ended(await ask_all(target, self.orders(WARM, "flat", 20)))
