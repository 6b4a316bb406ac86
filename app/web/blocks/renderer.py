"""Renders answers: small blocks in the event loop, large ones in threads. Results are cached."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from sys import getsizeof
from typing import TypeVar

from app.markdown.blocks.splitting import Block
from app.markdown.bounds import SECONDS, Deadline, TooMuchError
from app.markdown.grammar import Definitions
from app.markdown.html.rendering import attempt, render
from app.markdown.plain import plain
from app.markdown.steps import Rendered, Steps, document_steps
from app.web.blocks.cache import Cache
from app.web.blocks.render_turns import Turns

SMALL = 8 * 1024  # characters that the event loop renders itself, at most, before it looks after others
SMALL_SECONDS = 0.02  # of its processor time that a piece of an answer may take there; then the threads go on
MOST_WAITING = 256  # jobs for the threads; what comes on top is shown as plain text
CACHE_BYTES = 32 * 2**20  # of each cache

T = TypeVar("T")
Key = tuple[str, tuple[tuple[str, str, str], ...]]  # the source of a block, and the links it may refer to


class Renderer:
    """Renders whole answers and single blocks. The application owns and closes it."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._waiting = 0
        self._making: dict[str, asyncio.Task[Rendered]] = {}
        self._documents: Cache[str, Rendered] = Cache(CACHE_BYTES, _document_size)
        self._blocks: Cache[Key, str] = Cache(CACHE_BYTES, _block_size)

    def __repr__(self) -> str:
        return f"<Renderer waiting={self._waiting} documents={self._documents!r} blocks={self._blocks!r}>"

    def close(self) -> None:
        """Start no more jobs. Running slices are bounded in time and are not interrupted."""
        for making in self._making.values():
            making.cancel()
        self._turns.close()

    async def document(self, text: str, owner: Hashable = None) -> Rendered:
        """Render an answer that has ended. The threads are shared fairly between `owner`s, which are sessions."""
        found = self._documents.get(text)
        if found is not None:
            return found
        making = self._making.get(text)
        if making is None:
            making = asyncio.get_running_loop().create_task(self._make(text, owner), name="render document")
            self._making[text] = making
            making.add_done_callback(lambda _: self._making.pop(text))
        return await asyncio.shield(making)

    async def _make(self, text: str, owner: Hashable) -> Rendered:
        """Render once for all concurrent callers: after a restart all pages of a session reload at once."""
        made = await self._run(owner, document_steps(text, self._render))
        if made is None:
            return Rendered([], 0, text)
        self._documents.put(text, made)
        return made

    async def opened(self, text: str, owner: Hashable = None) -> Rendered:
        """Render an answer in progress."""
        return await self._run(owner, document_steps(text, self._render, is_over=False)) or Rendered(
            [], 0, text
        )

    async def blocks(
        self, blocks: list[Block], definitions: Definitions, owner: Hashable = None
    ) -> list[str]:
        """Render blocks in the threads; return their HTML."""
        known = dict(definitions)  # a copy: the original changes while the threads read it
        html = await self._run(owner, self._each(blocks, known))
        return html if html is not None else [plain(block.source) for block in blocks]

    async def cut(self, job: Steps[None], owner: Hashable = None) -> None:
        """Run a job that splits text into blocks in the threads. Each answer has one such job at a time."""
        await self._turns.run(owner, job)

    def block(self, block: Block, definitions: Definitions, deadline: Deadline) -> str | None:
        """Render a small block synchronously and return its HTML.

        Returns `None` for a large block that is not cached, and if the deadline passes: use the threads then.
        """
        if block.is_plain:
            return plain(block.source)
        key = _key(block, definitions)
        html = self._blocks.get(key)
        if html is None and len(block.source) <= SMALL:
            try:
                html = attempt(block.source, definitions, deadline)
            except TooMuchError:
                return None
            self._blocks.put(key, html)
        return html

    def _render(self, block: Block, definitions: Definitions, seconds: float = SECONDS) -> str:
        if block.is_plain:
            return plain(block.source)
        key = _key(block, definitions)
        html = self._blocks.get(key)
        if html is None:
            html = render(block.source, definitions, seconds=seconds)
            if seconds == SECONDS:
                self._blocks.put(key, html)
        return html

    def _each(self, blocks: list[Block], definitions: Definitions) -> Steps[list[str]]:
        html: list[str] = []
        for block in blocks:
            html.append(self._render(block, definitions))
            yield
        return html

    async def _run(self, owner: Hashable, job: Steps[T]) -> T | None:
        """Run a job in the threads; return `None` if `MOST_WAITING` jobs are queued or running."""
        if self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        try:
            return await self._turns.run(owner, job)
        finally:
            self._waiting -= 1


def _key(block: Block, definitions: Definitions) -> Key:
    if not definitions or "[" not in block.source:
        return block.source, ()
    links = sorted((label, link["href"], link["title"]) for label, link in definitions.items())
    return block.source, tuple(links)


def _block_size(key: Key, html: str) -> int:
    return getsizeof(key[0]) + getsizeof(html) + 200 * (1 + len(key[1]))


def _document_size(text: str, rendered: Rendered) -> int:
    return getsizeof(text) + sum(map(getsizeof, rendered.blocks))
