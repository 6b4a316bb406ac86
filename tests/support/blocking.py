"""Watches the event loop: which callback kept its thread busy for how long, by the thread's own processor clock."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest_asyncio

# Twice what the product itself calls late, for machines that are half as fast.
LONGEST = 0.1  # s of processor time
# Whose coroutines are the tests' own: theirs, and those that run them and their fixtures.
OWN = (str(Path(__file__).parents[1]), str(Path(pytest_asyncio.__file__).parent))


class Blocks:
    """What took too long, in words.

    Collections of garbage do not count: their length is that of the tests' heap. Nor does what runs in a coroutine
    written in `tests`, or runs a fixture, unless `own` is set: a test starts processes and makes large inputs.
    """

    def __init__(self, *, own: bool) -> None:
        self._own = own
        self.found: list[str] = []
        self._collecting = 0.0  # s that collections took since the callback began
        self._began = 0.0

    def run(self, handle: asyncio.Handle, run: Any) -> None:
        """Run a callback and take its time."""
        # A task's step is a method of the task, which tells what it runs. Taken first: afterwards it is gone.
        culprit = getattr(handle._callback, "__self__", None) or handle  # type: ignore[attr-defined]
        self._collecting = 0.0
        began = time.thread_time()
        run(handle)
        took = time.thread_time() - began - self._collecting
        if took > LONGEST and (self._own or not _is_test(culprit)):
            self.found.append(f"{took * 1000:.0f} ms in {culprit!r}")

    def collects(self, phase: Literal["start", "stop"], _: dict[str, int]) -> None:
        """Called by the collector before and after its work."""
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collecting += time.thread_time() - self._began


def _is_test(culprit: object) -> bool:
    if not isinstance(culprit, asyncio.Task):
        return False
    code = getattr(culprit.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(OWN)


@contextmanager
def watched(*, own: bool = False) -> Iterator[Blocks]:
    """Measure every callback of every asyncio loop while the block lasts; with `own`, the tests' own tasks, too."""
    blocks = Blocks(own=own)
    run = asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        blocks.run(handle, run)

    asyncio.Handle._run = measured  # type: ignore[method-assign, assignment]
    gc.callbacks.append(blocks.collects)
    try:
        yield blocks
    finally:
        gc.callbacks.remove(blocks.collects)
        asyncio.Handle._run = run  # type: ignore[method-assign]
