"""The measured health of the event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from app.telemetry.loop_health import BEAT, BLOCKED, LoopHealth
from tests.support.recorder import Recorder
from tests.support.waiting import until


@pytest.mark.slow
async def test_a_block_is_measured_and_its_culprit_named() -> None:
    """The time counts, and the stack shows who did it."""
    log = Recorder()
    async with LoopHealth(logger=log, stacks=True) as health:
        await asyncio.sleep(2 * BEAT)
        held_up_by_this_function(4 * (BEAT + BLOCKED))
        await until(lambda: health.blocks)
    assert health.worst >= BLOCKED
    assert health.blocked >= health.worst
    assert "loop_blocked" in log.events
    assert "held_up_by_this_function" in str(log.fields["loop_blocked_by"]["stack"])


def held_up_by_this_function(seconds: float) -> None:
    """Block the loop."""
    time.sleep(seconds)


async def test_its_thread_and_its_timer_end_with_it() -> None:
    """Nothing is left behind."""
    async with LoopHealth(logger=Recorder(), stacks=True):
        assert any(thread.name == "loop health" for thread in threading.enumerate())
    assert not any(thread.name == "loop health" for thread in threading.enumerate())
