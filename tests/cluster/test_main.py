"""`make cluster`, as a newcomer runs it: it prints its addresses, they are one cluster, and Ctrl-C ends all of it."""

from __future__ import annotations

import asyncio
import re
import signal

import psutil
import pytest

from tests.support.client import Client
from tests.support.processes import running
from tests.support.sse import text_of
from tests.support.waiting import gone

START_SECONDS = 200.0  # three servers, and a PostgreSQL that makes its first database
END_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.timeout(320)
async def test_one_command_shows_a_cluster() -> None:
    """A chat that began at one node goes on at the next, and through nginx; afterwards no process is left."""
    async with running(["tests.cluster"]) as process:
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(START_SECONDS):
            while "Ctrl-C" not in (line := (await process.stdout.readline()).decode()):
                assert line, lines
                lines.append(line)
        urls = re.findall(r"^(?:one address|node \d)\s+(http://\S+)", "".join(lines), re.MULTILINE)
        assert len(urls) in (3, 4), lines  # without nginx there is no address in front
        family = psutil.Process(process.pid).children(recursive=True)
        for number, url in enumerate(urls):
            async with Client(url) as client:
                events = await client.ask("shown", f"words {number}", model="scripted/echo")
                assert text_of(events) == f"words {number}"
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(END_SECONDS):
            rest = (await process.stdout.read()).decode()
            assert await process.wait() == 0, rest
        assert "All have ended." in rest
        for child in family:
            await gone(child.pid)
