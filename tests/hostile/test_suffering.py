"""What `tests.support.hostile` says of a server: a test that rests on it can fail."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.functional.processes import Process
from tests.support.hostile import ATTEMPTS, MOST_DELAY, suffering


async def pause(process: Process) -> None:
    """Let the server do nothing for ten times as long as others may wait, as if something held its loop."""
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.sleep(10 * MOST_DELAY)
    os.kill(process.pid, signal.SIGCONT)


async def attacked(process: Process, attack: Callable[[int], Awaitable[None]], path: str = "/healthz") -> int:
    """Attack until others are quick; return the number of attempts. `attack` gets theirs, from 1."""
    attempts = 0
    async for attempt in suffering(process.pid, process.url, path):
        attempts += 1
        async with attempt:
            await attack(attempts)
            await asyncio.sleep(MOST_DELAY)
    return attempts


async def test_what_holds_the_server_every_time_is_found(process: Process) -> None:
    """A delay is the attack's if it is there in each attempt."""
    tried = []

    async def attack(number: int) -> None:
        tried.append(number)
        await pause(process)

    with pytest.raises(AssertionError, match="p99 at rest"):
        await attacked(process, attack)
    assert len(tried) == ATTEMPTS


async def test_what_happens_once_is_forgiven(process: Process) -> None:
    """The machine may have been busy."""

    async def attack(number: int) -> None:
        if number == 1:
            await pause(process)

    assert 1 < await attacked(process, attack) <= ATTEMPTS


async def test_who_is_refused_is_never_forgiven(process: Process) -> None:
    """An answer other than 200 is a failure at the first attempt."""
    tried = []

    async def attack(number: int) -> None:
        tried.append(number)

    with pytest.raises(AssertionError, match=r"failed [1-9]"):
        await attacked(process, attack, "/api/sessions")
    assert tried == [1]
