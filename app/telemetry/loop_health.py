"""Measures how long the event loop was blocked, for the metrics; in development also logs the blocking stack."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from types import TracebackType

from app.chat.ports import Logger

BEAT = 0.1  # s between two timer callbacks
BLOCKED = 0.05  # s; a callback later than this means that the loop was blocked
STACK_FRAMES = 12  # innermost frames to log


class LoopHealth:
    """Measures how late a periodic callback runs in the running loop. Active inside its context.

    With `stacks`, a thread watches the callback, and logs the stack of the loop's thread while it is late.
    """

    def __init__(self, *, logger: Logger, stacks: bool = False) -> None:
        self.blocked = 0.0  # s, total since the start
        self.worst = 0.0  # s, the longest block
        self.blocks = 0
        self._logger = logger
        self._stacks = stacks
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._beaten = threading.Event()
        self._stopping = False

    def __repr__(self) -> str:
        return f"<LoopHealth blocks={self.blocks} worst={self.worst * 1000:.0f}ms>"

    async def __aenter__(self) -> LoopHealth:
        self._loop = asyncio.get_running_loop()
        self._expected = self._loop.time() + BEAT
        self._timer = self._loop.call_at(self._expected, self._beat)
        if self._stacks:
            watched = threading.get_ident()
            self._thread = threading.Thread(
                target=self._watch, args=(watched,), name="loop health", daemon=True
            )
            self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._beaten.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _beat(self) -> None:
        now = self._loop.time()
        late = now - self._expected
        if late > BLOCKED:
            self.blocked += late
            self.blocks += 1
            self.worst = max(self.worst, late)
            self._logger.warning("loop_blocked", ms=round(late * 1000))
        if self._stacks:
            self._beaten.set()
        self._expected = now + BEAT
        self._timer = self._loop.call_at(self._expected, self._beat)

    def _watch(self, thread_id: int) -> None:
        """Log the stack of the loop's thread while it is blocked. Runs in its own thread."""
        while not self._stopping:
            self._beaten.clear()
            if not self._beaten.wait(BEAT + BLOCKED) and not self._stopping:
                frame = sys._current_frames().get(thread_id)
                stack = "".join(traceback.format_stack(frame)[-STACK_FRAMES:])
                self._logger.warning("loop_blocked_by", stack=stack)
                self._beaten.wait()
