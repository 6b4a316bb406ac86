"""Threads that long jobs share in turns, so that no session waits for all the work of another."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from app.markdown.steps import Steps

SLICE = 0.05  # s of processor time that a job has at a time; a step that has begun may take longer
THREADS = 2

T = TypeVar("T")


class _Job(NamedTuple):
    steps: Steps[Any]
    result: asyncio.Future[Any]


class Turns:
    """Runs jobs in a few threads. Whoever has jobs gets a slice of one in turn, however many the others have.

    A job is a generator, which yields between its steps and returns its result.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="render")
        self._waiting: OrderedDict[Hashable, deque[_Job]] = OrderedDict()  # the next in turn is the first
        self._running: dict[Hashable, tuple[asyncio.Task[None], _Job]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Turns running={len(self._running)} waiting={len(self._waiting)}>"

    async def run(self, owner: Hashable, steps: Steps[T]) -> T:
        """Return what the job returns, or raise what it raises. The jobs of one owner run one after the other.

        If the caller is cancelled, the job ends with the slice that runs. Raises `RuntimeError` after `close`.
        """
        if self._closed:
            raise RuntimeError("the threads are closed")
        job = _Job(steps, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(owner, deque()).append(job)
        self._start()
        result: T = await job.result
        return result

    def close(self) -> None:
        """Start no more slices. Those that run are bounded in time."""
        self._closed = True
        for job in [*(job for _, job in self._running.values()), *chain(*self._waiting.values())]:
            job.result.cancel()
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Give every free thread a job of whoever is next in turn."""
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
            self._waiting.move_to_end(owner)  # it has had its turn
        self._start()

    async def _slice(self, job: _Job) -> bool:
        """Do some steps of a job; tell whether it is done."""
        try:
            is_done, result = await asyncio.get_running_loop().run_in_executor(
                self._threads, _some, job.steps
            )
        except Exception as error:  # noqa: BLE001 - it is raised where the job is waited for
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
