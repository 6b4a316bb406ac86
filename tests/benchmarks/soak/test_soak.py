"""A short soak in every test run; `make soak` runs a long one."""

from __future__ import annotations

import asyncio

from tests.benchmarks.soak.readings import MIB, Reading, leaks
from tests.support.processes import running

QUIET = Reading(0.0, 0, 0, 0, 0, 0, 60 * MIB, 16, 0.0)


async def test_a_quarter_of_a_minute() -> None:
    """Random sessions, faults and restarts of the model leave no violation in the log, and nothing behind."""
    async with running(["tests.benchmarks.soak", "0.25"]) as process, asyncio.timeout(110):
        assert process.stdout is not None
        output = (await process.stdout.read()).decode()
        code = await process.wait()
    assert code == 0, output
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
