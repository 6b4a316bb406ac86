"""`kill -9` of a busy server, again and again: no prompt is lost, nothing is stuck, hardly any text is missing."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.running import ROOT, free_port
from tests.history.crashing import HEAD, Crowd, Findings, compare, repeat_keys
from tests.support.client import Client

CRASHES = int(os.environ.get("CRASHES", "10"))
BOUND = 30.0  # seconds, for a start
# A batch is written every quarter of a second; the machine may be busy with other things.
LOST_SECONDS = 1.0


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server that the caller kills."""
    ours = {"PORT": str(port), "DATA_DIR": str(folder), "SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    env |= {f"TAILRACE_{name}": value for name, value in {**ours, "LOG_LEVEL": "error"}.items()}
    command = [sys.executable, "-m", "app", "serve"]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)


async def ready(client: Client, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    async with asyncio.timeout(BOUND):
        while True:
            assert process.poll() is None, "it did not start again"
            try:
                async with client.http.get("/readyz") as response:
                    if response.status == 200:
                        return
            except OSError:
                await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_loses_no_prompt(tmp_path: Path) -> None:
    """After each crash every prompt that was accepted is there, every stream has ended once, every session works."""
    port = free_port()
    before: tuple[Crowd, float] | None = None
    found: list[Findings] = []
    print(f"\n{HEAD}")
    for number in range(CRASHES + 1):
        process = start(tmp_path, port)
        try:
            async with Client(f"http://127.0.0.1:{port}") as client:
                await ready(client, process)
                if before is not None:
                    found.append(await compare(client, *before))
                    await repeat_keys(client, before[0])
                    print(found[-1].row(number))
                if number < CRASHES:
                    before = await crash(client, process, number)
        finally:
            process.kill()
            process.wait()
    assert sum(findings.tokens for findings in found) > sum(findings.prompts for findings in found)
    assert max(findings.oldest for findings in found) < LOST_SECONDS


async def crash(client: Client, process: subprocess.Popen[bytes], seed: int) -> tuple[Crowd, float]:
    """Keep the server busy, and kill it at some moment; return who saw what, and when it died."""
    crowd = Crowd(client, seed)
    busy = asyncio.create_task(crowd.run())
    await asyncio.sleep(random.Random(seed).uniform(0.3, 1.5))
    assert not busy.done(), busy
    process.kill()
    died = time.monotonic()
    process.wait()
    await asyncio.wait({busy}, timeout=5)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    return crowd, died
