"""Who waits for a session to move is woken by the hint, or looks after a while."""

from __future__ import annotations

import asyncio

from app.cluster.moves import Moves
from tests.support.waiting import until

LONG = 60.0  # seconds, longer than any test


async def test_all_who_wait_for_it_are_woken() -> None:
    """And nobody who waits for another session."""
    moves = Moves()
    waiting = [asyncio.create_task(moves.wait(session, LONG)) for session in ("s1", "s1", "s2")]
    await asyncio.sleep(0)
    moves.told("s1")
    await asyncio.wait_for(asyncio.gather(*waiting[:2]), LONG)
    assert not waiting[2].done()
    moves.told("s2")
    await asyncio.wait_for(waiting[2], LONG)
    assert len(moves) == 0


async def test_without_a_hint_the_wait_ends() -> None:
    """Hints may be lost. Nothing is left of who has waited, or was cancelled."""
    moves = Moves()
    await asyncio.wait_for(moves.wait("s1", 0.01), LONG)
    waiting = asyncio.create_task(moves.wait("s1", LONG))
    await until(lambda: len(moves) == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert len(moves) == 0
    moves.told("s1")  # to nobody
