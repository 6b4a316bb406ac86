"""How many processes run the tests side by side: `pytest -n auto`, as `make test` calls it."""

from __future__ import annotations

import os

import psutil

FEWEST = 2  # many tests wait for something, so even one core has work for two
MEMORY = 2 * 1024**3  # bytes for each process, with its browsers, its PostgreSQL and its model


def workers() -> int:
    """Return one for each core that this process may use, unless memory is short."""
    affordable = psutil.virtual_memory().available // MEMORY
    return max(FEWEST, min(cores(), affordable))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
