"""`python -m tests.benchmarks.page`: every gate of the page, in about fifteen minutes; exit 1 if one does not hold."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import playwright.async_api

from tests.benchmarks.page import axe, lighthouse, reload, smooth, tabs, weight
from tests.benchmarks.page.stage import Stage
from tests.benchmarks.page.table import Gate, none_of, render
from tests.browser.chromium import running_chromium
from tests.functional.processes import serving
from tests.machine import PROGRAMS
from tests.support.client import Client

TOKEN = "b7f1c09e54d2a86f3e17904ac5db6218"


async def measure(stage: Stage, chromium: str, rounds: int) -> list[Gate]:
    """Measure everything, one after the other."""
    await stage.answer("weight", "markdown")
    pages = {"new session": f"{stage.url}/", "an answer": f"{stage.url}/sessions/weight"}
    gates = list(weight.sizes())
    gates += await _tried("requests", weight.requests(stage, "/sessions/weight"))
    gates += await _tried("Lighthouse", lighthouse.measure(pages, chromium, rounds))
    gates += await _tried("axe", axe.measure(stage))
    gates += await _tried("reload", reload.measure(stage))
    gates += await _tried("eight tabs", tabs.measure(stage, rounds))
    gates += await _tried("a long answer", smooth.measure(stage, rounds))
    gates.append(none_of("CSP reports in the whole run", stage.complaints.violations))
    return gates


async def _tried(what: str, measuring: Awaitable[list[Gate]]) -> list[Gate]:
    """Measure; what breaks is a gate that does not hold, and the others are measured all the same."""
    print(what, file=sys.stderr, flush=True)
    try:
        return await measuring
    except (playwright.async_api.Error, TimeoutError, AssertionError, RuntimeError) as error:
        return [Gate(what, "", f"{type(error).__name__}: {str(error).splitlines()[0][:100]}", False)]


@asynccontextmanager
async def _stage(chromium: str, folder: Path) -> AsyncIterator[Stage]:
    """Run the two servers, each in a process of its own."""
    open_folder, locked_folder = folder / "open", folder / "locked"
    open_folder.mkdir()
    locked_folder.mkdir()
    with serving(open_folder) as server, serving(locked_folder, ACCESS_TOKEN=TOKEN) as locked:
        async with Client(server.url) as client, playwright.async_api.async_playwright() as driver:
            browser = await driver.chromium.connect_over_cdp(chromium)
            yield Stage(browser, server.url, locked.url, client)


async def _run(executable: str, rounds: int) -> list[Gate]:
    with (
        tempfile.TemporaryDirectory(prefix="tailrace-page-") as name,
        running_chromium(executable, Path(name) / "chromium") as chromium,
    ):
        async with _stage(chromium, Path(name)) as stage:
            return await measure(stage, chromium, rounds)


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__)
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
