"""A short soak in every test run; `make soak` runs a long one."""

from __future__ import annotations

import asyncio
import sys

from tests.soak.processes import ROOT
from tests.soak.readings import MIB, Reading, leaks

QUIET = Reading(0.0, 0, 0, 0, 0, 0, 60 * MIB, 16, 0.0)


async def test_a_quarter_of_a_minute() -> None:
    """Random sessions, faults and restarts of the model leave no violation in the log, and nothing behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak", "0.25", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(110):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert "no violation, no leak" in output


def test_what_grows_is_a_leak() -> None:
    """More memory or open files in the last minute than in the second, or anything at rest, is told."""
    minutes = [QUIET._replace(at=float(at)) for at in range(600)]
    assert list(leaks(minutes, QUIET)) == []
    growing = [reading._replace(rss=reading.rss + int(reading.at) * MIB // 20) for reading in minutes]
    assert [leak.split()[0] for leak in leaks(growing, QUIET)] == ["memory"]
    opening = [reading._replace(files=16 + int(reading.at) // 10) for reading in minutes]
    assert [leak.split()[0] for leak in leaks(opening, QUIET)] == ["open"]
    assert [leak.split()[0] for leak in leaks(minutes, QUIET._replace(viewers=1, files=99))] == [
        "something",
        "99",
    ]
