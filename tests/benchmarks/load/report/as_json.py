"""The figures as JSON, with all rounds, and the machine that they were taken on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from app import __version__
from tests.benchmarks.load.report.rows import Row


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor()
    )


def document(rows: list[Row], missing: dict[str, str], load_before: float, seconds: float) -> bytes:
    """Return everything that was measured, indented."""
    data = {
        "tailrace": __version__,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "load_average_before": round(load_before, 2),
        "machine": machine(),
        "missing": missing,
        "figures": [_figure(row) for row in rows],
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def _figure(row: Row) -> dict[str, Any]:
    return {
        "figure": row.figure,
        "rounds": {
            name: [round(value, 4) for value in values] for name, values in row.values.items() if values
        },
        "medians": {name: round(median(values), 4) for name, values in row.values.items() if values},
        "ratios": [round(ratio, 4) for ratio in row.ratios],
        "goal": row.goal,
        "goal_is_a_ratio": row.of_ratio,
        "met": row.met,
        "verdict": row.verdict,
        "streams": row.plotted,
    }
