"""Continues the answers of sessions that came to this node, in the same message (`TAILRACE_CONTINUE=auto`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager

from app.tasks.reports import report

GATHER_SECONDS = 0.05  # for which sessions gather, before their answers are looked for together
RUNS = 8  # at the same time
MOST_WAITING = 10_000  # sessions


class Continuing:
    """Gathers sessions and runs `continue_all` for them, in tasks that `running` owns.

    It returns those for which it has to be tried again, after each of `pauses` (seconds): their model server is away,
    and they hold nobody up meanwhile. The set that it gets loses the sessions that are forgotten.
    """

    def __init__(
        self, continue_all: Callable[[Set[str]], Awaitable[Set[str]]], *, pauses: Sequence[float] = ()
    ) -> None:
        self._continue_all = continue_all
        self._pauses = pauses
        self._waiting: dict[str, int] = {}  # how often each has been tried
        self._pausing: dict[str, asyncio.TimerHandle] = {}
        self._runs: dict[asyncio.Task[None], set[str]] = {}
        self._came = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Continuing waiting={len(self._waiting)} pausing={self.pausing}>"

    @property
    def pausing(self) -> int:
        """The number of sessions that are tried again after a pause."""
        return len(self._pausing)

    def add(self, session_id: str) -> None:
        """Continue what was interrupted in this session. Synchronous."""
        self._stop_pausing(session_id)
        self._put(session_id, 0)

    def forget(self, session_id: str) -> None:
        """Continue nothing in this session: its user has stopped it. Synchronous."""
        self._stop_pausing(session_id)
        self._waiting.pop(session_id, None)
        for sessions in self._runs.values():
            sessions.discard(session_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background until the block ends."""
        gathering = asyncio.create_task(self._gather(), name="continue elsewhere")
        try:
            yield
        finally:
            tasks = {gathering, *self._runs}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for pause in self._pausing.values():
                pause.cancel()

    def _put(self, session_id: str, tries: int) -> None:
        self._pausing.pop(session_id, None)
        if len(self._waiting) < MOST_WAITING:
            self._waiting[session_id] = tries
            self._came.set()

    def _stop_pausing(self, session_id: str) -> None:
        if (pause := self._pausing.pop(session_id, None)) is not None:
            pause.cancel()

    async def _gather(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._runs) >= RUNS:
                await asyncio.wait(self._runs, return_when=asyncio.FIRST_COMPLETED)
            self._came.clear()
            tries, self._waiting = self._waiting, {}
            if not tries:
                continue  # it was forgotten
            batch = set(tries)
            task = asyncio.create_task(self._run(batch, tries), name="continue sessions")
            self._runs[task] = batch
            task.add_done_callback(self._runs.pop)

    async def _run(self, batch: set[str], tries: dict[str, int]) -> None:
        try:
            left = await self._continue_all(batch)
        except Exception as error:  # noqa: BLE001 - it is reported; the next sessions have their own run
            report("interrupted answers could not be continued", error)
            return
        for session_id in left & batch:
            self._pause(session_id, tries[session_id])

    def _pause(self, session_id: str, tried: int) -> None:
        """Try it again after a pause, if it has not come anew meanwhile."""
        comes = session_id in self._waiting or session_id in self._pausing
        if comes or tried >= len(self._pauses) or len(self._pausing) >= MOST_WAITING:
            return
        loop = asyncio.get_running_loop()
        self._pausing[session_id] = loop.call_later(self._pauses[tried], self._put, session_id, tried + 1)
