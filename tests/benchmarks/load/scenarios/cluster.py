"""A cluster: what the shared log adds to a token, what three nodes cost, a paused owner, and the memory in Redis.

What the log adds is the difference to a single server on PostgreSQL, measured in the same round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import Answer, all_began, ask_all, hang_up
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.model import PER_SECOND
from tests.benchmarks.load.report.rows import MS, Row, percentile
from tests.benchmarks.load.scenarios.ending import ENDLESS, leave
from tests.benchmarks.load.scenarios.fresh import KIB
from tests.benchmarks.load.servers.cluster import SUPERSEDE_SECONDS, Site, cluster_site, target
from tests.benchmarks.load.servers.errors import MissingPeerError
from tests.benchmarks.load.servers.target import TAILRACE, Target
from tests.cluster.harness.node import NodeProcess

NAME = "cluster"  # in what is missing
RAMP = 0.6  # s, over which the streams begin
LEEWAY = 0.5  # s beyond `SUPERSEDE_SECONDS`, for the newest prompt behind a paused owner
ALONE, ONE, THREE = "a single server", "one node", "three nodes"


class Paced(NamedTuple):
    """Some servers under a load."""

    cpu: float  # µs of a token, all nodes together
    valkey: float  # the same of Valkey
    lags: list[float]  # s from the model to the reader, of each read

    def __str__(self) -> str:
        late = percentile(self.lags, 50) * MS
        return f"{self.cpu:.1f} µs a token, {late:.2f} ms to the reader"


Case = tuple[str, int]  # servers, and the streams at each of them


class Round(NamedTuple):
    """What one round has measured, by what was measured."""

    paced: dict[Case, Paced]
    elsewhere: list[float]  # s from the model to a reader at another node, of each read
    newest: list[float]  # s from the newest prompt behind a paused owner to its first token
    log_bytes: float  # of a running stream in Redis


async def measure(bench: Bench) -> list[Row]:
    """Measure in rounds; without an engine there is nothing."""
    async with AsyncExitStack() as stack:
        try:
            site = await stack.enter_async_context(cluster_site(bench.model.url, bench.servers.core))
        except MissingPeerError as error:
            bench.servers.missing[NAME] = str(error)
            bench.say(f"{NAME} is left out: {error}")
            return []
        for node in (site.alone, site.one, *site.three):
            await bench.warm(target(node))
        rounds = [await _round(bench, site, number) for number in range(bench.scale.rounds)]
    return _rows(bench, rounds)


def _cases(bench: Bench) -> list[Case]:
    """Few streams, whose tokens come alone; and as many as other scenarios have, which share commands and replies."""
    few, many = bench.scale.cluster_streams, bench.scale.streams
    return [(ALONE, few), (ONE, few), (THREE, few), (ALONE, many), (ONE, many)]


def _rows(bench: Bench, rounds: Sequence[Round]) -> list[Row]:
    few, many = bench.scale.cluster_streams, bench.scale.streams
    elsewhere = [percentile(each.elsewhere, 50) * MS for each in rounds]
    tokens = round(bench.scale.running * PER_SECOND)

    def cost(servers: str, streams: int) -> list[float]:
        return [each.paced[servers, streams].cpu for each in rounds]

    def late(servers: str, streams: int) -> list[float]:
        return [percentile(each.paced[servers, streams].lags, 50) * MS for each in rounds]

    def row(figure: str, values: Sequence[float], goal: float | None = None, form: str = "{:.1f}") -> Row:
        return Row(figure, {TAILRACE: values}, goal, form=form)

    rows = []
    for streams in (few, many):
        load = f"{streams} x {PER_SECOND}/s"
        rows += [
            row(f"cluster: CPU µs per token, {ALONE} on PostgreSQL, {load}", cost(ALONE, streams)),
            row(f"cluster: CPU µs per token, {ONE}, {load}", cost(ONE, streams)),
            row(
                f"cluster: the shared log adds to a token, CPU µs of the node, {load}",
                _less(cost(ONE, streams), cost(ALONE, streams)),
                10.0,
            ),
            row(
                f"cluster: added per token at the owner, p50, ms, {load}",
                _less(late(ONE, streams), late(ALONE, streams)),
                1.0,
                "{:.2f}",
            ),
            row(
                f"cluster: CPU µs per token of Valkey, {load}",
                [each.paced[ONE, streams].valkey for each in rounds],
            ),
        ]
    return [
        *rows,
        row(f"cluster: CPU µs per token, {THREE}, {few} x {PER_SECOND}/s at each", cost(THREE, few)),
        row(
            f"cluster: {THREE} to {ONE}, x",
            [ours / theirs for ours, theirs in zip(cost(THREE, few), cost(ONE, few), strict=True)],
            1.1,
            "{:.2f}",
        ),
        row(
            "cluster: added per token at another node, p50, ms",
            _less(elsewhere, late(ALONE, few)),
            2.0,
            "{:.2f}",
        ),
        row(
            "cluster: newest prompt behind a paused owner to first token, slowest, s",
            [max(each.newest) for each in rounds],
            SUPERSEDE_SECONDS + LEEWAY,
            "{:.2f}",
        ),
        row(
            f"cluster: Redis memory per running stream, {tokens} tokens in, KiB",
            [each.log_bytes / KIB for each in rounds],
        ),
    ]


def _less(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [more - less for more, less in zip(ours, theirs, strict=True)]


async def _round(bench: Bench, site: Site, number: int) -> Round:
    """Measure everything once. Servers take turns in going first."""
    under_load = {ALONE: [site.alone], ONE: [site.one], THREE: list(site.three)}
    paced: dict[Case, Paced] = {}
    cases = _cases(bench)
    for servers, streams in cases if number % 2 else reversed(cases):
        used = paced[servers, streams] = await _paced(bench, site, under_load[servers], streams)
        bench.model.forget()
        bench.say(f"round {number + 1} of {bench.scale.rounds}, {servers}, {streams} streams: {used}")
    elsewhere = await _elsewhere(bench, site)
    newest = await _behind_a_paused_owner(bench, site)
    log_bytes = await _memory(bench, site)
    bench.say(
        f"round {number + 1} of {bench.scale.rounds}: {percentile(elsewhere, 50) * MS:.2f} ms to a reader elsewhere; "
        f"newest prompt behind a paused owner {max(newest):.2f} s; {log_bytes / KIB:.1f} KiB of Redis a stream"
    )
    bench.model.forget()
    return Round(paced, elsewhere, newest, log_bytes)


class Load:
    """Paced streams at some servers, each in a session of its own, read there."""

    def __init__(self, bench: Bench, servers: Sequence[NodeProcess], streams: int) -> None:
        self.targets = [target(server) for server in servers]
        self.orders = [list(bench.orders(streams, "paced", ENDLESS)) for _ in servers]
        self.answers: list[list[Answer]] = []
        self._bench = bench

    def __repr__(self) -> str:
        return f"<Load {len(self.targets)} servers>"

    @property
    def all(self) -> list[Answer]:
        """The answers at all servers."""
        return [answer for answers in self.answers for answer in answers]

    async def begin(self) -> None:
        """Ask for the streams; return once each has begun."""
        asked = (
            ask_all(server, orders, spread=RAMP)
            for server, orders in zip(self.targets, self.orders, strict=True)
        )
        self.answers = list(await asyncio.gather(*asked))
        await all_began(self.all)

    def measure_lags(self) -> None:
        """From now on, note how late each token arrives."""
        for orders, answers in zip(self.orders, self.answers, strict=True):
            for order, answer in zip(orders, answers, strict=True):
                answer.measure_lags(self._bench.model.generations[order.key].sent)

    async def end(self) -> None:
        """Stop the streams."""
        for server, answers in zip(self.targets, self.answers, strict=True):
            await leave(server, answers)


async def _paced(bench: Bench, site: Site, servers: Sequence[NodeProcess], streams: int) -> Paced:
    """Run so many streams at each server, and measure a window."""
    load = Load(bench, servers, streams)
    await load.begin()
    load.measure_lags()
    meter, valkey = Meter(load.targets, load.all), site.valkey_cpu()
    await asyncio.sleep(bench.scale.cluster_window)
    used, valkey = meter.read(), site.valkey_cpu() - valkey
    lags = [lag for answer in load.all for lag in answer.lags]
    await load.end()
    return Paced(used.cpu_per_token, valkey / used.tokens * 1e6, lags)


async def _elsewhere(bench: Bench, site: Site) -> list[float]:
    """Run the streams at one node, and read some of them at another; return how late the tokens are there."""
    load = Load(bench, site.three[:1], bench.scale.cluster_streams)
    await load.begin()
    read_at = target(site.three[1])
    viewers: list[Answer] = []
    for order, answer in zip(load.orders[0], load.all, strict=True):
        view = read_at.raw("GET", f"/api/streams/{answer.stream_id}/events")
        viewer = await Answer.ask(read_at, view)
        viewers.append(viewer)
        await all_began([viewer])
        viewer.measure_lags(bench.model.generations[order.key].sent)
        if len(viewers) == bench.scale.cluster_readers:
            break
    await asyncio.sleep(bench.scale.cluster_window)
    lags = [lag for viewer in viewers for lag in viewer.lags]
    hang_up(viewers)
    await load.end()
    return lags


async def _behind_a_paused_owner(bench: Bench, site: Site) -> list[float]:
    """Pause the owner of some sessions, send each a prompt at another node, and wait for the first tokens."""
    paused, *others = site.three
    load = Load(bench, [paused], bench.scale.cluster_prompts)
    await load.begin()
    paused.pause()
    try:
        newest: list[tuple[Target, Answer]] = []
        for number, order in enumerate(load.orders[0]):
            [prompt] = bench.orders_in(order.session, 1, ENDLESS)
            server = target(others[number % len(others)])
            newest.append((server, await Answer.ask(server, server.request(prompt))))
        await all_began([answer for _, answer in newest])
    finally:
        paused.resume()
    hang_up(load.all)
    for server, answer in newest:
        await leave(server, [answer])
    await paused.ready()
    firsts = [answer.first for _, answer in newest]
    assert None not in firsts, firsts
    return [first for first in firsts if first is not None]


async def _memory(bench: Bench, site: Site) -> float:
    """Return the bytes of a running stream in Redis."""
    load = Load(bench, [site.one], bench.scale.cluster_streams)
    await load.begin()
    await asyncio.sleep(bench.scale.running)
    taken = [site.log_bytes(order.session) for order in load.orders[0]]
    await load.end()
    return sum(taken) / len(taken)
