"""Runs long jobs in threads, in time slices, so that one session cannot starve the others."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from app.markdown.steps import Steps

SLICE = 0.05  # seconds of processor time per turn; the last step of a slice may exceed it
THREADS = 2

T = TypeVar("T")


class _Job(NamedTuple):
    steps: Steps[Any]
    result: asyncio.Future[Any]


class Turns:
    """Runs jobs in a few threads, round-robin: each owner gets one slice per round, however many jobs it has.

    A job is a generator that yields between its steps and returns its result.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="render")
        self._waiting: OrderedDict[Hashable, deque[_Job]] = OrderedDict()  # by owner; the first is next
        self._running: dict[Hashable, tuple[asyncio.Task[None], _Job]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Turns running={len(self._running)} waiting={len(self._waiting)}>"

    async def run(self, owner: Hashable, steps: Steps[T]) -> T:
        """Run a job; return its result or raise its error. The jobs of one owner run one at a time, in order.

        If the caller is cancelled, the job stops after its current slice. Raises `RuntimeError` after `close`.
        """
        if self._closed:
            raise RuntimeError("the threads are closed")
        job = _Job(steps, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(owner, deque()).append(job)
        self._start()
        result: T = await job.result
        return result

    def close(self) -> None:
        """Cancel all jobs and start no more slices. Running slices are bounded in time and are not interrupted."""
        self._closed = True
        for job in [*(job for _, job in self._running.values()), *chain(*self._waiting.values())]:
            job.result.cancel()
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Give each free thread a job of the next owner."""
        loop = asyncio.get_running_loop()
        for owner in [owner for owner in self._waiting if owner not in self._running]:
            if len(self._running) == THREADS:
                return
            job = self._take(owner)
            self._running[owner] = loop.create_task(self._turn(owner, job), name="render turn"), job

    def _take(self, owner: Hashable) -> _Job:
        queue = self._waiting[owner]
        job = queue.popleft()
        if not queue:
            del self._waiting[owner]
        return job

    async def _turn(self, owner: Hashable, job: _Job) -> None:
        try:
            is_done = job.result.done() or await self._slice(job)
        finally:
            del self._running[owner]
        if self._closed:
            return
        if not is_done:
            self._waiting.setdefault(owner, deque()).appendleft(job)
        if owner in self._waiting:
            self._waiting.move_to_end(owner)
        self._start()

    async def _slice(self, job: _Job) -> bool:
        """Run one slice of a job; return whether the job is done."""
        try:
            is_done, result = await asyncio.get_running_loop().run_in_executor(
                self._threads, _some, job.steps
            )
        except Exception as error:  # noqa: BLE001 - `run` raises it
            if not job.result.done():
                job.result.set_exception(error)
            return True
        if is_done and not job.result.done():
            job.result.set_result(result)
        return is_done


def _some(steps: Steps[T]) -> tuple[bool, T | None]:
    end = time.thread_time() + SLICE
    try:
        while True:
            next(steps)
            if time.thread_time() >= end:
                return False, None
    except StopIteration as stop:
        return True, stop.value
