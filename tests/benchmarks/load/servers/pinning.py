"""Keeps a server on its core."""

from __future__ import annotations

import os

import psutil


def pin(pid: int, core: int) -> None:
    """Keep a process on a core, with its threads and child processes; what they start later stays there, too."""
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})
