"""The blocks of a streaming answer: split as text arrives, rendered in order, passed to the channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import Deadline, TooMuchError
from app.markdown.levels import Levels, leveled
from app.markdown.plain import plain
from app.markdown.steps import cutting
from app.tasks.reports import report
from app.web.blocks.renderer import SMALL, SMALL_SECONDS, Renderer

BATCH = 64 * 1024  # approximate characters per job in the threads


class Closed(NamedTuple):
    """Block `number` of an answer, from 0, with its HTML. A repeated number replaces the earlier block."""

    number: int
    end: int  # the end of the block in the answer's source, in UTF-16 code units
    html: str


class _Waiting(NamedTuple):
    number: int
    block: Block
    html: str | None = None  # the HTML of the first pass, if this is the second
    levels: Levels | None = None  # of the headings before it, in the second pass


class AnswerBlocks:
    """Takes the text of an answer and returns the blocks that it closes. Calls `late` with each slower block.

    Calls `settled` when the last slow block of an answer that has ended was told.

    Short text is split, and small blocks are rendered, synchronously. Large or slow work runs in threads, one job at a
    time; text that arrives meanwhile is queued. Blocks are always delivered in order.
    """

    def __init__(
        self,
        renderer: Renderer,
        late: Callable[[Closed], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._late = late
        self._settled = settled
        self._renderer = renderer
        self._splitter = Splitter()
        self._new: list[str] = []  # pieces that came while a job was at work
        self._count = 0  # blocks that were cut
        self._levels = Levels()  # of the headings in those that were told
        self._before: tuple[int, int, str] | None = None  # `open_again` before the cut going on
        self._waiting: deque[_Waiting] = deque()
        self._linked: list[_Waiting] = []  # blocks that a later definition of a link may change
        self._is_over = False  # the answer has ended
        self._finished = False  # all of the text has been split
        self._job: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<AnswerBlocks blocks={self._count} waiting={len(self._waiting)} {self._splitter!r}>"

    @property
    def open_again(self) -> tuple[int, int, str]:
        """The number of the open block, its start in UTF-16 code units, and its text so far."""
        number, end, tail = self._before or (self._count, self._splitter.end, self._splitter.tail)
        return number, end, "".join([tail, *self._new])

    @property
    def is_behind(self) -> bool:
        """Whether a job is running in the threads."""
        return self._job is not None

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended and no block is to come."""
        is_idle = self._job is None and not self._waiting and not self._linked
        return self._closed or (self._finished and is_idle)

    def add(self, text: str) -> list[Closed]:
        """Append text to the answer; return the blocks that it closes and that are already rendered."""
        if self._job is not None or len(text) > SMALL:
            self._new.append(text)
            return self._advance()
        return self._advance() if self._splitter.take(text) else []

    def finish(self) -> list[Closed]:
        """End the answer; return its last blocks. Blocks changed by later link definitions are sent again."""
        self._is_over = True
        return self._advance()

    def close(self) -> None:
        """Cancel the running job; render and deliver nothing more. Idempotent."""
        self._closed = True
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    async def settled(self) -> None:
        """Wait until all blocks split so far are rendered."""
        # A finished job clears `_job` itself. Without the `done` check this loop could spin on a finished task.
        while self._job is not None and not self._job.done():
            await asyncio.wait({self._job})

    def _advance(self) -> list[Closed]:
        """Split and render what is quick, and return it in order. Start a job for the rest."""
        closed: list[Closed] = []
        room, deadline = SMALL, Deadline(SMALL_SECONDS)
        while not self._closed and self._job is None:
            if self._waiting:
                room -= len(self._waiting[0].block.source)
                html = self._at_once(self._waiting[0].block, deadline) if room >= 0 else None
                if html is None:
                    self._start_rendering()
                else:
                    closed += self._rendered(self._waiting.popleft(), html)
            elif self._is_to_cut:
                if not self._cut_at_once(deadline):
                    self._start(self._cut_beside(), "cut blocks")
            elif not self._renew():
                break
        return closed

    def _advance_late(self) -> None:
        for closed in self._advance():
            self._late(closed)
        if self.is_complete:
            self._settled()

    # ---- cutting ---------------------------------------------------------------------------------------------

    @property
    def _is_to_cut(self) -> bool:
        return bool(self._new) or self._splitter.is_due or (self._is_over and not self._finished)

    def _cut_at_once(self, deadline: Deadline) -> bool:
        """Split the text if it is short; return whether that finished before the deadline."""
        if self._splitter.size + sum(map(len, self._new)) > SMALL:
            return False
        self._splitter.take(self._take_new())
        self._number(self._splitter.cut(deadline))
        try:
            if self._is_over and not self._splitter.is_due:
                self._number(self._splitter.finish(deadline))
                self._finished = True
        except TooMuchError:
            return False
        return not self._splitter.is_due

    async def _cut_beside(self) -> None:
        is_over, text = self._is_over, self._take_new()
        self._before = (self._count, self._splitter.end, self._splitter.tail + text)
        blocks: list[Block] = []
        try:
            await self._renderer.cut(cutting(self._splitter, text, blocks, is_over=is_over), self)
        except Exception as error:  # noqa: BLE001 - it is reported; a reload renders the blocks from the full text
            report("an answer could not be cut into blocks", error)
            self._closed = True
            self._settled()
            return
        finally:
            self._job = self._before = None
        self._finished = is_over
        self._number(blocks)
        self._advance_late()

    def _take_new(self) -> str:
        text = "".join(self._new)
        self._new.clear()
        return text

    def _number(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._waiting.append(_Waiting(self._count, block))
            self._count += 1

    # ---- rendering -------------------------------------------------------------------------------------------

    def _at_once(self, block: Block, deadline: Deadline) -> str | None:
        try:
            return self._renderer.block(block, self._splitter.definitions, deadline)
        except Exception as error:  # noqa: BLE001 - as in `_blocks`
            report("a block could not be rendered", error)
            return plain(block.source)

    def _renew(self) -> bool:
        """After the last block, queue once more the blocks that later link definitions may change."""
        if self._finished and self._linked:
            self._waiting.extend(self._linked)
            self._linked.clear()
        return bool(self._waiting)

    def _rendered(self, waiting: _Waiting, html: str) -> list[Closed]:
        """Return the block with its HTML; nothing if a second pass did not change it."""
        before = waiting.levels or self._levels
        html, after = leveled(html, before)
        if html == waiting.html:
            return []
        if waiting.html is None:
            self._levels = after
            if "[" in waiting.block.source:
                self._linked.append(waiting._replace(html=html, levels=before))
        return [Closed(waiting.number, waiting.block.end, html)]

    def _start_rendering(self) -> None:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].block.source) <= BATCH):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].block.source)
        self._start(self._render(batch), "render blocks")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._job = asyncio.get_running_loop().create_task(work, name=name)

    async def _render(self, batch: list[_Waiting]) -> None:
        try:
            rendered = await self._blocks([waiting.block for waiting in batch])
        finally:
            self._job = None
        for waiting, html in zip(batch, rendered, strict=True):
            for closed in self._rendered(waiting, html):
                self._late(closed)
        self._advance_late()

    async def _blocks(self, blocks: list[Block]) -> list[str]:
        try:
            return await self._renderer.blocks(blocks, self._splitter.definitions, self)
        except Exception as error:  # noqa: BLE001 - it is reported; the blocks are shown as plain text
            report("blocks could not be rendered", error)
            return [plain(block.source) for block in blocks]
