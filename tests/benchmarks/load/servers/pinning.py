"""Where a process runs, and before whom."""

from __future__ import annotations

import contextlib
import os

import psutil

FIRST = -15  # the priority of a process that does not wait for the others; only root may give it


def pin(pid: int, core: int) -> None:
    """Keep a process on a core, with its threads and child processes; what they start later stays there, too."""
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


def go_first(pid: int) -> None:
    """Let a process run before all others of its core, as if it had one of its own, where the user may do that."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, FIRST)
