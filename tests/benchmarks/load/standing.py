"""What stands still or ends costs too: memory, waiting streams, idle viewers, stops, and a storm of newer prompts."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from tests.benchmarks.load.load import PATIENCE, Answer, Meter, all_began, all_ended, ask_all, hang_up, stop
from tests.benchmarks.load.scale import Bench
from tests.benchmarks.load.servers import Target
from tests.benchmarks.load.throughput import ENDLESS

KIB = 1024
WARM = 20  # answers before a memory measurement, so that what is loaded late is loaded
SETTLE = 1.0  # s that running streams have been running when their memory is read
STORM_GAP = 0.02  # s between the prompts of a session
STORM_TOKENS = 25  # of the newest answer: it goes on while others begin


async def _warm(bench: Bench, target: Target) -> int:
    """Use the server a little; return its memory after that."""
    await all_ended(await ask_all(target, bench.orders(WARM, "flat", 20)))
    return target.memory()


async def running_memory(bench: Bench, target: Target) -> float:
    """Return the KiB of one running stream with its viewer, a second after it began. Wants a fresh server."""
    before = await _warm(bench, target)
    answers = await ask_all(target, bench.orders(bench.scale.streams, "paced", ENDLESS))
    await all_began(answers)
    await asyncio.sleep(SETTLE)
    used = target.memory() - before
    hang_up(answers)
    return used / len(answers) / KIB


async def idle_viewer_memory(bench: Bench, target: Target) -> float:
    """Return the KiB of one viewer of a session in which nothing happens. Wants a fresh server."""
    await _warm(bench, target)
    order = next(bench.orders(1, "flat", 1))
    await all_ended(await ask_all(target, [order]))
    before = target.memory()
    view = target.raw("GET", f"/api/sessions/{order.session}/events")
    viewers = [await Answer.ask(target, view) for _ in range(bench.scale.waiting)]
    await _connected(viewers)
    used = target.memory() - before
    hang_up(viewers)
    return used / len(viewers) / KIB


class Waiting(NamedTuple):
    """Streams whose model has not said anything yet."""

    memory: float  # KiB each
    cpu: float  # ms per second, of all together


async def waiting(bench: Bench, target: Target) -> Waiting:
    """Open streams that only wait, each with its viewer. Wants a fresh server."""
    before = await _warm(bench, target)
    orders = list(bench.orders(bench.scale.waiting, "silent", 1))
    answers = await ask_all(target, orders)
    async with asyncio.timeout(PATIENCE):
        while not all(order.key in bench.model.generations for order in orders):
            await asyncio.sleep(0.02)
    memory = target.memory() - before
    meter = Meter(target, answers)
    await asyncio.sleep(bench.scale.idle_window)
    usage = meter.read()
    hang_up(answers)
    return Waiting(memory / len(answers) / KIB, usage.cpu / usage.seconds * 1000)


async def _connected(answers: list[Answer]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(answer.head for answer in answers):
            await asyncio.sleep(0.02)


async def stops(bench: Bench, target: Target) -> list[float]:
    """Stop running streams one by one; return the seconds from the request to the closed upstream.

    The relay knows no stop: there the reader hangs up.
    """
    orders = list(bench.orders(bench.scale.stops, "paced", ENDLESS))
    answers = await ask_all(target, orders)
    await all_began(answers)
    keys = [order.key for order in orders]
    if target.name == "tailrace":
        return await stop(target, [answer.stream_id for answer in answers], bench.model, keys)
    waits = []
    for answer, key in zip(answers, keys, strict=True):
        asked = time.perf_counter()
        answer.hang_up()
        async with asyncio.timeout(PATIENCE):
            await bench.model.generations[key].closed
        waits.append(time.perf_counter() - asked)
    return waits


class Storm(NamedTuple):
    """Sessions whose user sends one prompt after the other."""

    firsts: list[float]  # s from each newest prompt to its first token
    overlaps: int  # sessions with two generations open at once
    unanswered: int  # newest prompts


async def storm(bench: Bench, target: Target, *, spread: float) -> Storm:
    """Let sessions begin within `spread` seconds, each with several prompts in a row, of which the last counts."""
    bench.model.most_open.clear()
    count = bench.scale.storm_sessions
    users = [
        asyncio.create_task(_insist(bench, target, f"storm-{key}", spread * number / count))
        for number, key in enumerate(bench.keys(count))
    ]
    newest = [await user for user in users]
    await all_ended(newest)
    firsts = [answer.first for answer in newest if answer.first is not None]
    unanswered = sum(answer.tokens != STORM_TOKENS for answer in newest)
    return Storm(firsts, bench.model.overlaps, unanswered)


async def _insist(bench: Bench, target: Target, session: str, delay: float) -> Answer:
    """Send the prompts of one session, each time leaving the answer before; return the newest answer."""
    await asyncio.sleep(delay)
    *older, newest = bench.orders_in(session, bench.scale.storm_prompts, STORM_TOKENS)
    for order in older:
        answer = await Answer.ask(target, target.request(order))
        await asyncio.sleep(STORM_GAP)
        answer.hang_up()
    return await Answer.ask(target, target.request(newest))
