"""`kill -9` of a busy server, again and again: no prompt is lost, nothing is stuck, hardly any text is missing."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.history.crashing import FINDING, Crowd, Findings, compare, repeat_keys
from tests.support import forked
from tests.support.client import Client
from tests.support.forked import Forked
from tests.support.lag import LAGS, lag
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment
from tests.support.waiting import until, until_told

CRASHES = int(os.environ.get("CRASHES", "30"))
SERVERS = 3  # that live and die side by side, each with its folder
BOUND = 30.0  # seconds, for a start
# A batch is written every quarter of a second; the machine may be busy with other things.
LOST_SECONDS = 1.0


def start(folder: Path, port: int) -> Forked:
    """Start a server that the caller kills."""
    ours = {"PORT": str(port), "DATA_DIR": str(folder), "SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off"}
    env = environment({**ours, "LOG_LEVEL": "error"})
    with folder.with_suffix(".log").open("ab") as log:
        return forked.start(["serve"], cwd=ROOT, env=env, output=log)


async def ready(client: Client, process: Forked) -> None:
    """Wait until the server answers."""

    async def answers() -> bool:
        assert process.poll() is None, "it did not start again"
        try:
            async with client.http.get("/readyz") as response:
                return response.status == 200
        except OSError:
            return False

    await until_told(answers, within=BOUND)


@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_loses_no_prompt(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """After each crash every prompt that was accepted is there, every stream has ended once, every session works."""
    lives = [range(first, CRASHES, SERVERS) for first in range(SERVERS)]
    async with lag() as worst:
        found = await asyncio.gather(
            *(die_again_and_again(tmp_path / str(life[0]), life) for life in lives if life)
        )
    table = [findings for each in found for findings in each]
    for findings in table:
        record_property(FINDING, tuple(findings))
    assert len(table) == CRASHES
    assert sum(findings.tokens for findings in table) > sum(findings.prompts for findings in table)
    assert max(findings.oldest for findings in table) < LOST_SECONDS + LAGS * worst[0]


async def die_again_and_again(folder: Path, seeds: range) -> list[Findings]:
    """Start a server, keep it busy, kill it and look at what is there, once for each seed."""
    port = free_port()
    before: tuple[Crowd, float] | None = None
    found: list[Findings] = []
    for seed in (*seeds, None):
        process = start(folder, port)
        try:
            async with Client(f"http://127.0.0.1:{port}") as client:
                await ready(client, process)
                if before is not None:
                    found.append(await compare(client, *before))
                    await repeat_keys(client, before[0])
                if seed is not None:
                    before = await crash(client, process, seed)
        finally:
            process.kill()
            process.wait()
    return found


async def crash(client: Client, process: Forked, seed: int) -> tuple[Crowd, float]:
    """Keep the server busy, and kill it at some moment; return who saw what, and when it died."""
    crowd = Crowd(client, seed)
    busy = asyncio.create_task(crowd.run())
    await until(lambda: crowd.records)
    await asyncio.sleep(random.Random(seed).uniform(0.1, 0.9))
    assert not busy.done(), busy
    process.kill()
    died = time.monotonic()
    process.wait()
    await asyncio.wait({busy}, timeout=5)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    return crowd, died
