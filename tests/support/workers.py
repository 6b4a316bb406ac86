"""How many processes run the tests side by side: `pytest -n auto`, as `make test` calls it."""

from __future__ import annotations

import os

import psutil

FEWEST = 2
CORES = (
    2  # processes for each core: a third of the time a test waits for something, such as a bound that passes
)
MEMORY = 2 * 1024**3  # bytes for each process, with its browsers, its PostgreSQL and its model


def workers() -> int:
    """Return twice as many as there are cores, fewer where memory is short."""
    affordable = psutil.virtual_memory().available // MEMORY
    return max(FEWEST, min(CORES * cores(), affordable))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
