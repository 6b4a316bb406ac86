"""`python -m tests.page_bench`: every gate of the page, in about eight minutes; exit 1 if one does not hold."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import async_playwright

from tests.browser.chromium import running_chromium
from tests.functional.processes import serving
from tests.machine import PROGRAMS
from tests.page_bench import axe, lighthouse, reload, smooth, tabs, weight
from tests.page_bench.stage import Stage
from tests.page_bench.table import Gate, none_of, render
from tests.support.client import Client

TOKEN = "a token of this measurement"


async def measure(stage: Stage, chromium: str, rounds: int) -> list[Gate]:
    """Measure everything; what depends on time comes while nothing else runs here."""
    gates = list(weight.sizes())
    _say("requests")
    gates.append(await weight.requests(stage))
    _say("Lighthouse")
    pages = {"new session": f"{stage.url}/", "an answer": f"{stage.url}/sessions/weight"}
    gates += await lighthouse.measure(pages, chromium, rounds)
    _say("axe")
    gates.append(await axe.measure(stage))
    _say("reload")
    gates.append(await reload.measure(stage))
    _say("eight tabs")
    gates += await tabs.measure(stage)
    _say("a long answer")
    gates += await smooth.measure(stage, rounds)
    gates.append(none_of("CSP reports in the whole run", stage.complaints.violations))
    return gates


@asynccontextmanager
async def _stage(chromium: str, folder: Path) -> AsyncIterator[Stage]:
    """Run the two servers, each in a process of its own."""
    open_folder, locked_folder = folder / "open", folder / "locked"
    open_folder.mkdir()
    locked_folder.mkdir()
    with serving(open_folder) as server, serving(locked_folder, ACCESS_TOKEN=TOKEN) as locked:
        async with Client(server.url) as client, async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(chromium)
            yield Stage(browser, server.url, locked.url, client)


async def _run(executable: str, rounds: int) -> list[Gate]:
    with (
        tempfile.TemporaryDirectory(prefix="tailrace-page-") as name,
        running_chromium(executable, Path(name) / "chromium") as chromium,
    ):
        async with _stage(chromium, Path(name)) as stage:
            return await measure(stage, chromium, rounds)


def _say(text: str) -> None:
    """Show what goes on, beside the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.page_bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what depends on time")
    arguments = parser.parse_args()
    executable = PROGRAMS["chromium"].find()
    if executable is None:
        print("Chromium is not installed, so nothing can be measured (Debian: apt-get install chromium)")
        return 1
    load = os.getloadavg()[0]  # of others, as yet
    gates = asyncio.run(_run(executable, arguments.rounds))
    print(render(gates))
    print(f"\nLoad average before: {load:.1f}. On a busy machine pages load later and drop frames.")
    return 0 if all(gate.holds for gate in gates) else 1


if __name__ == "__main__":
    sys.exit(main())
