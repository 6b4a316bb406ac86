"""How answers end that would never end by themselves."""

from __future__ import annotations

import asyncio

from tests.benchmarks.load.client.answer import Answer, all_ended, hang_up
from tests.benchmarks.load.model import PER_SECOND
from tests.benchmarks.load.servers.target import Target

ENDLESS = 1_000_000  # tokens: the load hangs up


async def leave(target: Target, answers: list[Answer]) -> None:
    """End endless answers. This server's have to be stopped: it goes on without viewers."""
    if target.is_ours:
        deletes = [target.raw("DELETE", f"/api/streams/{answer.stream_id}") for answer in answers]
        stops = [await Answer.ask(target, delete) for delete in deletes]
        await all_ended(answers)
        hang_up(stops)
    hang_up(answers)
    await asyncio.sleep(1 / PER_SECOND)  # the sockets close before the next round begins
