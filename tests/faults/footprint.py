"""What a process holds at one moment: its tasks and its open files. What is left over shows up as a difference."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import until

FOLDER = Path("/proc/self/fd")


class Footprint(NamedTuple):
    """Tasks by name, and open files by kind."""

    tasks: frozenset[str]
    files: tuple[tuple[str, int], ...]

    @classmethod
    def now(cls) -> Footprint:
        """Take it."""
        tasks = (task for task in asyncio.all_tasks() if task is not asyncio.current_task())
        return cls(frozenset(map(repr, tasks)), tuple(sorted(Counter(_kinds()).items())))


def _kinds() -> list[str]:
    kinds = []
    for entry in FOLDER.iterdir():
        try:
            kinds.append(str(entry.readlink()).partition(":")[0])
        except FileNotFoundError:  # the one that lists the folder
            continue
    return kinds


async def back_to(before: Footprint) -> None:
    """Return once nothing is there that was not there before. Raises `AssertionError` that names what is left."""
    try:
        await until(lambda: Footprint.now() == before)
    except TimeoutError:
        assert Footprint.now() == before, "something is left"
