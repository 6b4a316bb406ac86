"""What a server has used, according to the operating system: its process, all threads, and its child processes."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process and its descendants, those that have ended included.

    The kernel books a running process at its next tick, or when it sleeps.
    """
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess, OSError):
            times = process.cpu_times()
            total += _clock(process.pid) + times.children_user + times.children_system
    return total


def _clock(pid: int) -> float:
    # The id of another process's clock, as clock_getcpuclockid(3) makes it: nanoseconds, where /proc has 1/100 s.
    return time.clock_gettime((~pid << 3) | 2)


def memory_bytes(pid: int) -> int:
    """Return the resident bytes of a process, and those of its descendants that they share with nobody."""
    parent, *children = _tree(pid)
    total = int(parent.memory_info().rss)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            total += int(child.memory_full_info().uss)
    return total


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
