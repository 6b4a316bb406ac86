"""Lighthouse's scores of the page for a phone on a slow network: performance, accessibility, best practices."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.benchmarks.page.packages import MODULES, lack
from tests.benchmarks.page.table import Gate

COMMAND = MODULES / "lighthouse" / "cli" / "index.js"
GATES = {"performance": 98, "accessibility": 100, "best-practices": 100}
RUN_SECONDS = 120.0


class Report(NamedTuple):
    """What one run found."""

    scores: dict[str, int]  # of 100, by category
    faults: list[str]  # what keeps accessibility and best practices under 100


async def run(url: str, chromium: str, categories: Iterable[str] = GATES) -> Report:
    """Have Lighthouse look at `url` in the Chromium that listens at the address `chromium`."""
    node = shutil.which("node") or "node"
    command = [
        node,
        str(COMMAND),
        url,
        f"--port={urlsplit(chromium).port}",
        "--output=json",
        "--quiet",
        "--no-enable-error-reporting",
        f"--only-categories={','.join(categories)}",
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"Lighthouse failed: {said.decode()[-2000:]}")
    return _report(output)


def _report(output: bytes) -> Report:
    result = json.loads(output)
    scores = {name: round(100 * (category["score"] or 0)) for name, category in result["categories"].items()}
    faults = [
        f"{name}: {part['id']}"
        for name, category in result["categories"].items()
        for part in category["auditRefs"]
        if name != "performance" and part["weight"] and (result["audits"][part["id"]]["score"] or 0) < 1
        if result["audits"][part["id"]]["scoreDisplayMode"] not in ("notApplicable", "manual")
    ]
    return Report(scores, faults)


async def measure(pages: dict[str, str], chromium: str, rounds: int) -> list[Gate]:
    """Score each page; performance is the median of the rounds, since it is a matter of time."""
    if reason := lack():
        return [Gate("Lighthouse mobile", "≥ 98, 100, 100", reason, None)]
    gates = []
    for name, url in pages.items():
        reports = [await run(url, chromium) for _ in range(rounds)]
        for category, gate in GATES.items():
            scores = [report.scores[category] for report in reports]
            score = median(scores) if category == "performance" else min(scores)
            faults = sorted(
                {fault for report in reports for fault in report.faults if fault.startswith(category)}
            )
            shown = ", ".join([f"{score:.0f}", *faults])
            gates.append(Gate(f"Lighthouse mobile, {name}: {category}", f"≥ {gate}", shown, score >= gate))
    return gates
