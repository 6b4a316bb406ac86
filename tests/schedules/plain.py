"""A small registry that keeps the promises, built the other way: one task a stream, each waits for those before it.

It is not the product. It is the ground on which the wrong registries stand: each of them changes one method of it,
and because this one is acquitted, what convicts them is that change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from app.chat.errors import Draining, Fenced, UpstreamError
from app.chat.ports import Delta, Generation, Logger
from app.chat.records import History
from app.chat.states import OUTCOMES, Outcome, Reason, Status
from app.chat.submission import Submission
from app.log.cursors import Cursor
from app.log.entries import End, Prompt, Start, StatusChange
from app.log.memory_log import MemoryLog
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.registry import Registered
from app.tasks.timeouts import within

NO_PROMISE = -1


class Entry:
    """A stream, from its claim to its end."""

    def __init__(self, stream_id: str, ask: Submission, fence: int) -> None:
        self.stream_id = stream_id
        self.backend = ask.backend
        self.fence = fence
        self.signal: Reason | None = None
        self.generating = False
        self.closed = True
        self.outcome = Outcome.INTERRUPTED
        self.generation: Generation | None = None
        self.task: asyncio.Task[None] | None = None
        self.tokens = 0
        self.ended = asyncio.Event()
        self.started = False  # its start is in the log
        self.over = False  # its end is in the log


class Slot:
    """A session: its log, and the streams that have not ended."""

    def __init__(self, log: SessionLog) -> None:
        self.log = log
        self.entries: list[Entry] = []
        self.fence = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(tuple(self.entries))


class PlainRegistry:
    """Synchronous claim, all live predecessors, one cancel each, compare-and-delete in a done callback."""

    new_log: Callable[..., SessionLog] = MemoryLog
    remembers = False  # it keeps no history

    def __init__(
        self,
        *,
        history: History,
        bounds: Bounds,
        logger: Logger,
        new_id: Callable[[], str],
        answers: int | None,
    ) -> None:
        assert answers is None, "it has no line"
        self.history = history
        self.bounds = bounds
        self.logger = logger
        self.new_id = new_id
        self.slots: dict[str, Slot] = {}
        self.lock = asyncio.Lock()
        self.closing = False
        self._zombies: set[Entry] = set()

    def session(self, session_id: str) -> Slot:
        """Return a session, made on demand."""
        if session_id not in self.slots:
            clock = asyncio.get_running_loop().time
            log = type(self).new_log(1, max_bytes=self.bounds.log_bytes, clock=clock)
            self.slots[session_id] = Slot(log)
        return self.slots[session_id]

    def find(self, session_id: str) -> Slot | None:
        """Return a session if there is one."""
        return self.slots.get(session_id)

    def in_line(self) -> int:
        """It has no line."""
        return 0

    def zombies(self) -> int:
        """How many streams outlived their bound, and live."""
        return len(self._zombies)

    # ---- a POST ----------------------------------------------------------------------------------------------

    async def register(self, ask: Submission) -> Registered:
        """Register a stream, and let it run in a task of its own."""
        entry, before = self.claim(ask)
        self.start(ask, entry, before)
        return self.answer(ask, entry)

    def claim(self, ask: Submission) -> tuple[Entry, list[Entry]]:
        """Put a stream in its slot; nothing is awaited between the look and the claim."""
        if self.closing:
            raise Draining("closing")
        slot = self.session(ask.session_id)
        before = list(slot.entries)
        for older in before:
            self.signal(older, Reason.NEW_STREAM)
        return self.put(ask), before

    def put(self, ask: Submission) -> Entry:
        """Put a stream in its slot."""
        slot = self.session(ask.session_id)
        slot.fence += 1
        entry = Entry(self.new_id(), ask, slot.fence)
        slot.entries.append(entry)
        return entry

    def start(self, ask: Submission, entry: Entry, before: list[Entry]) -> None:
        """Start the stream's task."""
        run = self.run(ask, entry, before)
        entry.task = asyncio.get_running_loop().create_task(run, name=f"producer {entry.stream_id}")
        entry.task.add_done_callback(partial(self.done, self.session(ask.session_id), entry))

    def answer(self, ask: Submission, entry: Entry) -> Registered:
        """Answer the POST. It promises no cursor."""
        return Registered(entry.stream_id, Status.QUEUED, Cursor(1, NO_PROMISE), new=True)

    def done(self, slot: Slot, entry: Entry, task: asyncio.Task[None]) -> None:
        """The stream's task is done: free the slot, by identity."""
        self._zombies.discard(entry)
        self.free(slot, entry)
        if not task.cancelled():
            task.exception()

    def free(self, slot: Slot, entry: Entry) -> None:
        """Remove this stream, and no other."""
        if entry in slot.entries:
            slot.entries.remove(entry)
        entry.ended.set()

    # ---- the signal ------------------------------------------------------------------------------------------

    def signal(self, entry: Entry, reason: Reason) -> None:
        """End a stream early, once. One that waits for its turn is not cancelled: it sees the signal then."""
        if entry.signal is not None:
            return
        entry.signal = reason
        if entry.generation is not None:
            entry.generation.abort()
        if entry.generating and entry.task is not None:
            entry.task.cancel()

    # ---- the life of a stream --------------------------------------------------------------------------------

    async def run(self, ask: Submission, entry: Entry, before: list[Entry]) -> None:
        """Wait for those before, generate, and end."""
        log = self.session(ask.session_id).log
        await self.wait_for(log, before)
        if entry.over:
            return  # somebody who waited with this one was quicker, and has ended it
        await self.append_start(log, entry)
        if entry.signal is None:
            await self.generate(log, entry)
        await self.end(log, entry)

    async def wait_for(self, log: SessionLog, before: list[Entry]) -> None:
        """Wait until all of these have ended; past the bound, write their end for them."""
        waits = {asyncio.ensure_future(entry.ended.wait()) for entry in before}
        if waits:
            _, late = await asyncio.wait(waits, timeout=self.bounds.supersede_timeout)
            for wait in late:
                wait.cancel()
        for entry in before:
            if not entry.over:
                await self.fence_off(log, entry)

    async def fence_off(self, log: SessionLog, entry: Entry) -> None:
        """End a stream that does not end: it is logged, counted, and refused from now on."""
        self.logger.warning("prev_stream_timeout_on_cancel", trace=entry.stream_id)
        self._zombies.add(entry)
        if not entry.started:
            await self.append_start(log, entry)
        await self.append_end(log, entry)
        self.free(next(slot for slot in self.slots.values() if slot.log is log), entry)

    async def generate(self, log: SessionLog, entry: Entry) -> None:
        """Read the answer into the log, and always close."""
        entry.generating = True
        await log.append(entry.fence, StatusChange(entry.stream_id, Status.THINKING))
        try:
            await self.read(log, entry)
            entry.outcome = Outcome.COMPLETE
        except (UpstreamError, RuntimeError):
            entry.outcome = Outcome.FAILED
        except (asyncio.CancelledError, Fenced):
            entry.outcome = Outcome.INTERRUPTED
        finally:
            entry.generating = False
            await self.close_upstream(entry)

    async def read(self, log: SessionLog, entry: Entry) -> None:
        """Read to the end of the answer."""
        entry.closed = False
        entry.generation = entry.backend.generate(None)  # type: ignore[arg-type]  # the answer is scripted
        position = 0
        while pieces := await entry.generation.read():
            for delta in (piece for piece in pieces if isinstance(piece, Delta)):
                log.append_text(entry.fence, delta.kind, entry.stream_id, position, delta.texts)
                position += len(delta.texts)
        entry.tokens = position

    async def close_upstream(self, entry: Entry) -> None:
        """Close the connection, within the bound."""
        if entry.generation is None:
            return
        entry.generation.abort()
        try:
            await within(self.bounds.close_timeout, entry.generation.wait_closed())
        except (TimeoutError, RuntimeError):
            self.logger.warning("upstream_close_timeout", trace=entry.stream_id)
        else:
            entry.closed = True

    async def end(self, log: SessionLog, entry: Entry) -> None:
        """Append the end, unless somebody else had to."""
        if not entry.over:
            await self.append_end(log, entry)

    async def append_start(self, log: SessionLog, entry: Entry) -> None:
        """Append the start of a stream."""
        entry.started = True
        await log.append(entry.fence, Start(entry.stream_id, "", "model", Prompt("", "")))

    async def append_end(self, log: SessionLog, entry: Entry) -> None:
        """Append the end of a stream."""
        entry.over = True
        outcome = entry.outcome if entry.signal is None else OUTCOMES[entry.signal]
        end = End(
            stream_id=entry.stream_id,
            outcome=outcome,
            finish_reason=None,
            tokens=entry.tokens,
            duration_ms=0,
            ttft_ms=None,
            upstream_closed=entry.closed,
            message_id="",
        )
        await log.append(entry.fence, end)

    # ---- a DELETE, and the end -------------------------------------------------------------------------------

    async def stop(self, owner: str, stream_id: str, *, wait: float) -> None:
        """Stop one stream."""
        for slot in self.slots.values():
            for entry in slot:
                if entry.stream_id == stream_id:
                    self.signal(entry, Reason.USER_STOP)

    async def stop_session(self, owner: str, session_id: str, *, wait: float) -> None:
        """Stop what runs in a session."""
        for entry in self.session(session_id):
            self.signal(entry, Reason.USER_STOP)

    async def delete_session(self, owner: str, session_id: str, *, wait: float) -> None:
        """Not needed on this ground."""
        raise NotImplementedError

    async def close(self, *, patience: float = 0.0) -> None:
        """Stop everything."""
        self.closing = True
        for slot in self.slots.values():
            for entry in slot:
                self.signal(entry, Reason.SHUTDOWN)
