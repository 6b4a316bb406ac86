"""Exchanges: short answers to people who ask again and again, from the prompt to the end, all included."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.client.visitor import Visitor
from tests.benchmarks.load.model import MARK, Order
from tests.benchmarks.load.report.rows import MS, Row
from tests.benchmarks.load.servers.target import FASTAPI, MEMORY, NGINX, RELAY, TAILRACE, Target

TOKENS = 5
IN_SESSION = 5  # exchanges, then a new session begins
AFTERMATH = 0.3  # s; what the history writes after an answer belongs to it


class Exchanges(NamedTuple):
    """One round."""

    cpu: float  # ms of an exchange
    missing: int  # tokens that did not arrive

    def __str__(self) -> str:
        return f"{self.cpu:.2f} ms an exchange"


async def measure(bench: Bench) -> list[Row]:
    """Measure both forms: a POST and then its events, as `EventSource` reads them; a POST answered with its events."""

    async def one(target: Target) -> Exchanges:
        return await exchanges(bench, target, events_apart=False)

    async def two(target: Target) -> Exchanges:
        return await exchanges(bench, target, events_apart=target.is_ours)

    apart = await bench.alternate((TAILRACE, MEMORY, RELAY), two)
    together = await bench.alternate((TAILRACE, MEMORY, RELAY, NGINX, FASTAPI), one)
    missing = [
        result.missing for rounds in (apart, together) for result in (*rounds[TAILRACE], *rounds[MEMORY])
    ]
    costs = [
        {name: [result.cpu for result in rounds] for name, rounds in results.items()}
        for results in (apart, together)
    ]
    what = "CPU ms per exchange"
    return [
        Row(f"{what}, POST + GET of events", costs[0], 1.5, form="{:.2f}"),
        Row(f"{what}, POST + GET of events, to the relay", costs[0], 2.5, of_ratio=True, form="{:.2f}"),
        Row(f"{what}, POST answered with events", costs[1], 1.5, form="{:.2f}"),
        Row(f"{what}, POST answered with events, to the relay", costs[1], 2.5, of_ratio=True, form="{:.2f}"),
        *(
            Row(f"{what}, {form}, history in memory", {**cost, TAILRACE: cost[MEMORY]}, form="{:.2f}")
            for form, cost in zip(("POST + GET", "POST"), costs, strict=True)
        ),
        Row("exchange: tokens that did not arrive", {TAILRACE: [sum(missing)]}, 0, form="{:.0f}"),
    ]


async def exchanges(bench: Bench, target: Target, *, events_apart: bool) -> Exchanges:
    """Let visitors exchange at the same time, each over a connection of its own."""
    scale = bench.scale
    visitors = [await Visitor.come(target) for _ in range(scale.visitors)]
    orders = [_orders(bench) for _ in visitors]
    meter = Meter(target)
    users = [
        asyncio.create_task(_exchange(target, *pair, events_apart))
        for pair in zip(visitors, orders, strict=True)
    ]
    arrived = sum([await user for user in users])
    await asyncio.sleep(AFTERMATH)
    usage = await meter.settled()
    for visitor in visitors:
        visitor.leave()
    count = scale.visitors * scale.exchanges
    return Exchanges(usage.cpu / count * MS, count * TOKENS - arrived)


def _orders(bench: Bench) -> list[Order]:
    """Return what one visitor asks for, some prompts in each session."""
    keys = bench.keys(bench.scale.exchanges)
    return [
        Order(key, f"exchange-{keys[0]}-{number // IN_SESSION}", "paced", TOKENS)
        for number, key in enumerate(keys)
    ]


async def _exchange(target: Target, visitor: Visitor, orders: list[Order], events_apart: bool) -> int:
    """Ask for each answer and read it; return the tokens."""
    tokens = 0
    for order in orders:
        if events_apart:
            reply = await visitor.ask(target.request(order, accept="application/json"))
            assert reply.status == 201, reply
            reply = await visitor.ask(target.raw("GET", _events_url(reply.body)))
        else:
            reply = await visitor.ask(target.request(order))
        tokens += reply.body.count(MARK)
    return tokens


class _Registered(msgspec.Struct):
    events_url: str


def _events_url(body: bytes) -> str:
    return msgspec.json.decode(body, type=_Registered).events_url
