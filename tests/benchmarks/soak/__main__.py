"""`python -m tests.benchmarks.soak [minutes]`: random sessions against a real server; exit 1 on a violation or leak."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from app.streams.bounds import Bounds
from app.telemetry.audit import audit
from tests.benchmarks.soak.processes import Model, server
from tests.benchmarks.soak.readings import MIB, Reading, leaks
from tests.benchmarks.soak.visitors import Visitor
from tests.support.client import Client
from tests.support.processes import Process

VISITORS = 24
REST_SECONDS = 30.0  # at most, until everything has come to rest
RESTARTS = 20  # of the model in one run, about


class Soak:
    """One run of `seconds`. `problems` is what was found; it is empty after a good one."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.problems: list[str] = []
        self._seconds = seconds
        self._seed = seed
        self._done: Counter[str] = Counter()
        self._mishaps: list[str] = []
        self._readings: list[Reading] = []

    async def run(self, folder: Path) -> None:
        """Run it, with its log in `folder`, and judge it."""
        log = folder / "server.log"
        with log.open("wb") as server_log, (folder / "model.log").open("wb") as model_log:
            async with Model(model_log) as model, server(model.url, folder, server_log) as process:
                at_rest = await self._visited(process, model)
                if code := await process.end():
                    self.problems.append(f"the server ended with exit code {code}")
                self._say(f"the model was started {model.lives} times; {_counted(self._done)}")
        self._judge(log, at_rest)

    async def _visited(self, process: Process, model: Model) -> Reading:
        """Let visitors come until the time is up, then wait until everything has come to rest."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Client(process.url) as client:
            self._readings.append(await _read(client, 0.0))
            dying = model.die_and_return(random.Random(self._seed), max(self._seconds / RESTARTS, 4.0))
            restarts = asyncio.create_task(dying)
            visits = asyncio.gather(
                *(self._visitor(n, process.url).live(began + self._seconds) for n in range(VISITORS))
            )
            try:
                while not visits.done():
                    await asyncio.wait({visits}, timeout=1.0)
                    await self._progress(client, loop.time() - began, model)
                await visits
            finally:
                visits.cancel()
                restarts.cancel()
                await asyncio.wait({visits})
                await asyncio.wait({restarts})
            if not restarts.cancelled():
                restarts.result()  # the model could not be started again
            return await _rest(client, began)

    def _visitor(self, number: int, url: str) -> Visitor:
        return Visitor(number, url, self._seed, self._done, self._mishaps)

    async def _progress(self, client: Client, at: float, model: Model) -> None:
        reading = await _read(client, at)
        self._say(reading.line(self._readings[-1], "up" if model.up else "down"))
        self._readings.append(reading)

    def _judge(self, log: Path, at_rest: Reading) -> None:
        with log.open(encoding="utf-8") as lines:
            report = audit(lines, bound=Bounds().supersede_timeout)
        self._say(f"audit: {report}")
        first, last = self._readings[0], self._readings[-1]
        self._say(
            f"memory: {first.rss / MIB:.1f} MiB at the start, {last.rss / MIB:.1f} at the end, "
            f"{at_rest.rss / MIB:.1f} at rest; open files: {first.files}, {last.files}, {at_rest.files}; "
            f"the loop was blocked for {at_rest.blocked:.2f} s in all"
        )
        self.problems += [str(violation) for violation in report.violations]
        self.problems += leaks(self._readings, at_rest)
        self.problems += self._mishaps

    def _say(self, line: str) -> None:
        print(line, flush=True)


async def _read(client: Client, at: float) -> Reading:
    async with client.http.get("/metrics") as response:
        return Reading.parse(at, await response.text())


async def _rest(client: Client, began: float) -> Reading:
    loop = asyncio.get_running_loop()
    gives_up = loop.time() + REST_SECONDS
    while not (await _read(client, 0.0)).at_rest and loop.time() < gives_up:
        await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)  # the connections of those who left last are closed by then
    return await _read(client, loop.time() - began)


def _counted(done: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in done.most_common())


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    arguments = parser.parse_args()
    soak = Soak(arguments.minutes * 60, arguments.seed)
    print(f"{arguments.minutes:g} minutes, {VISITORS} visitors, seed {arguments.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tailrace-soak-"))
    asyncio.run(soak.run(folder))
    for problem in soak.problems[:50]:
        print(f"PROBLEM {problem}")
    if soak.problems:
        print(f"{len(soak.problems)} problems; the logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("no violation, no leak")
    return 0


if __name__ == "__main__":
    sys.exit(main())
