"""The blocks of one answer while it is written: cut as its text comes, rendered in their order, told to who follows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from app.markdown.plain import plain
from app.markdown.splitting import Block, Splitter
from app.streams.reports import report
from app.web.renderer import SMALL, Renderer

BATCH = 64 * 1024  # characters of one job for the threads, about


class Closed(NamedTuple):
    """Block `number` of an answer, from 0, with its HTML. One that comes again replaces the earlier one."""

    number: int
    end: int  # UTF-16 code units of the answer's source that the blocks up to this one cover
    html: str


class _Waiting(NamedTuple):
    number: int
    block: Block
    html: str | None = None  # what was told before, if this is the second time


class LiveAnswer:
    """Takes the text of an answer. `tell` is called with each block, synchronously, whenever one is ready.

    Small blocks are ready at once. Large ones, and many at a time, are rendered in threads, and those after them wait:
    blocks are told in their order.
    """

    def __init__(self, renderer: Renderer, tell: Callable[[Closed], None]) -> None:
        self._tell = tell
        self._renderer = renderer
        self._splitter = Splitter()
        self._count = 0  # blocks that were cut
        self._waiting: deque[_Waiting] = deque()
        self._linked: list[_Waiting] = []  # blocks that a later definition of a link may change
        self._finished = False
        self._job: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<LiveAnswer blocks={self._count} waiting={len(self._waiting)} {self._splitter!r}>"

    @property
    def open_again(self) -> tuple[int, int, str]:
        """The number of the block that is open, where it begins, and its text so far."""
        return self._count, self._splitter.end, self._splitter.tail

    def add(self, text: str) -> None:
        """Take the next piece of the answer."""
        if blocks := self._splitter.feed(text):
            self._cut(blocks)

    def finish(self) -> None:
        """The answer has ended. Blocks that links defined later have changed come again."""
        if not self._finished:
            self._cut(self._splitter.finish())
            self._finished = True
            self._advance()

    def close(self) -> None:
        """Nobody follows any more: nothing more is rendered or told. Idempotent."""
        self._closed = True
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    async def settled(self) -> None:
        """Return once everything that was cut has been told."""
        # A job that is done clears `_job` itself. Waiting for a done task would return at once, without end.
        while self._job is not None and not self._job.done():
            await asyncio.wait({self._job})

    def _cut(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._waiting.append(_Waiting(self._count, block))
            self._count += 1
        self._advance()

    def _advance(self) -> None:
        """Tell what can be rendered at once, in order, and have the rest rendered in the threads."""
        room = SMALL
        while not self._closed and self._job is None and (self._waiting or self._renew()):
            size = len(self._waiting[0].block.source)
            html = None
            if size <= room:
                html = self._at_once(self._waiting[0].block)
            if html is None:
                self._start_job()
            else:
                room -= size
                self._ready(self._waiting.popleft(), html)

    def _at_once(self, block: Block) -> str | None:
        try:
            return self._renderer.block(block, self._splitter.definitions)
        except Exception as error:  # noqa: BLE001 - as in `_blocks`
            report("a block could not be rendered", error)
            return plain(block.source)

    def _renew(self) -> bool:
        """Once, when all has been told: look again at the blocks that links may have changed."""
        if self._finished and self._linked:
            self._waiting.extend(self._linked)
            self._linked.clear()
        return bool(self._waiting)

    def _ready(self, waiting: _Waiting, html: str) -> None:
        if html == waiting.html:
            return
        if waiting.html is None and "[" in waiting.block.source:
            self._linked.append(waiting._replace(html=html))
        self._tell(Closed(waiting.number, waiting.block.end, html))

    def _start_job(self) -> None:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].block.source) <= BATCH):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].block.source)
        self._job = asyncio.get_running_loop().create_task(self._render(batch), name="render blocks")

    async def _render(self, batch: list[_Waiting]) -> None:
        try:
            rendered = await self._blocks([waiting.block for waiting in batch])
        finally:
            self._job = None
        for waiting, html in zip(batch, rendered, strict=True):
            self._ready(waiting, html)
        self._advance()

    async def _blocks(self, blocks: list[Block]) -> list[str]:
        try:
            return await self._renderer.blocks(blocks, self._splitter.definitions)
        except Exception as error:  # noqa: BLE001 - it is reported, and a text that cannot be rendered is still a text
            report("blocks could not be rendered", error)
            return [plain(block.source) for block in blocks]
