"""An event loop in virtual time that leaves every choice to whoever drives it."""

from __future__ import annotations

import asyncio
import heapq
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.AbstractEventLoop):
    """Ready callbacks wait until they are `run`, timers until time is told to pass: nothing happens by itself.

    There is no selector, no thread and no clock. Whatever would need one raises `NotImplementedError`, so that a
    heart that runs here is proven to be without I/O.
    """

    def __init__(self) -> None:
        self.starved = 0.0  # s that passed while callbacks were waiting: the loop was late, not the code
        self.complaints: list[str] = []  # of callbacks and of tasks whose exception nobody looked at
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []

    def __repr__(self) -> str:
        return f"<VirtualLoop at={self._now:g}s ready={len(self._ready)} timers={len(self._timers)}>"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop of this thread for as long as the block lasts."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    # ---- what the driver sees and does -----------------------------------------------------------------------

    def ready(self) -> list[asyncio.Handle]:
        """Return the callbacks that may run now, oldest first."""
        if any(handle.cancelled() for handle in self._ready):
            self._ready = [handle for handle in self._ready if not handle.cancelled()]
        return self._ready

    def timers(self) -> list[tuple[float, int, asyncio.TimerHandle]]:
        """Return the timers that are still to fire; the first is the next."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers

    def run(self, index: int) -> None:
        """Run one of the ready callbacks; the loops of the standard library would run the one at 0."""
        self._ready.pop(index)._run()

    def pass_time(self) -> None:
        """Let time pass until the next timer is due; it and those of the same moment become ready, in order."""
        timers = self.timers()
        due = max(timers[0][0], self._now)
        if self.ready():
            self.starved += due - self._now
        self._now = due
        while timers and timers[0][0] <= due:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def pass_seconds(self, seconds: float) -> None:
        """Let so much time pass, whatever waits; all timers that are due by then become ready, in order."""
        until = self._now + seconds
        while (timers := self.timers()) and timers[0][0] <= until:
            self.pass_time()
        if self.ready():
            self.starved += until - self._now
        self._now = until

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are not done, in the order of their creation."""
        found = [task for ref in self._tasks if (task := ref()) is not None and not task.done()]
        if len(self._tasks) > 8 * len(found) + 8:
            self._tasks = [weakref.ref(task) for task in found]
        return found

    def tear_down(self, let_go: Callable[[], None], *, most_steps: int) -> None:
        """End the tasks that a run left which was broken off: as garbage they would wake up in a later run.

        `let_go` ends what they may wait for outside the loop.
        """
        for _ in range(8):
            tasks = self.tasks()
            for task in tasks:
                task.cancel()
            let_go()
            if not tasks and not self.ready():
                return
            for _ in range(most_steps):
                if not self.ready():
                    break
                self.run(0)
            if tasks and self.timers():
                self.pass_time()

    # ---- what asyncio needs of a loop ------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1  # breaks ties: timers of one moment fire in the order in which they were set
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(weakref.ref(task))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context['message']} ({context.get('exception')!r})")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A timer was cancelled. It falls out when its time comes."""
