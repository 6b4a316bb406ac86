"""An answer as HTML that only ever grows at its end: the reasoning, then closed blocks, and between them open text.

A piece of open text is hidden, by the style sheet, as soon as the block follows that it has become.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from app.markdown.plain import clean, escape
from app.tasks.timeouts import within
from app.web.blocks.answer_blocks import AnswerBlocks, Closed
from app.web.blocks.renderer import Renderer

AGAIN = 16 * 1024  # characters of open text that are sent again after a block, at most, while blocks are late
LATE_SECONDS = 10.0  # that the last blocks may take after the end of the answer


class Parts(Protocol):
    """The macros of `templates/growing.html`: the parts of a page, as HTML."""

    head: Callable[[], str]
    no_reasoning: Callable[[], str]
    reasoning_begin: Callable[[], str]
    reasoning_end: Callable[[], str]
    text_begin: Callable[[], str]
    block: Callable[[int, str], str]
    tail_begin: Callable[[], str]
    tail_end: Callable[[], str]
    text_end: Callable[[], str]
    foot: Callable[[], str]


class GrowingAnswer:
    """Takes the reasoning and the text of an answer, returns HTML.

    The text is opened as late as can be: what stands before it can no longer be changed then. `wake` is called when a
    block is ready that took longer.
    """

    def __init__(self, parts: Parts, renderer: Renderer, wake: Callable[[], None]) -> None:
        self._parts = parts
        self._live = AnswerBlocks(renderer, self._on_late)
        self._wake = wake
        self._has_reasoned = False
        self._is_open = False  # whether the answer's own text has begun
        self._ready: list[Closed] = []
        self._shown = 0  # blocks
        self._end = 0  # of them, in UTF-16 code units
        self._is_held = False  # open text is not sent, for blocks are on their way that will cover most of it
        self._is_blank = True  # the open text that was sent is only line ends, which are not shown
        self._text = bytearray()  # what they do not cover, as UTF-16: that is how blocks are measured

    def reason(self, text: str) -> str:
        """Return what comes next of the reasoning. What is thought after the first word is seen after a reload."""
        if not text or self._is_open:
            return ""
        opening = "" if self._has_reasoned else self._parts.reasoning_begin()
        self._has_reasoned = True
        return opening + html.escape(clean(text))

    def add(self, text: str) -> str:
        """Return what comes next of the answer: blocks that are closed now, or text that is open."""
        if not text:
            return self._blocks()
        opening = self._open()
        self._text += text.encode("utf-16-le", "surrogatepass")
        self._ready += self._live.add(text)
        return opening + (self._blocks() or self._piece(text))

    async def finish(self) -> str:
        """Return the rest. What an earlier block would be with links defined later is seen after a reload."""
        self._ready += self._live.finish()
        with suppress(TimeoutError):  # The text is there; what it looks like is seen after a reload.
            await within(LATE_SECONDS, self._live.settled())
        rest = self._open() + self._blocks()
        held = self._still_open() if self._is_held else ""
        return rest + held + self._parts.text_end()

    def close(self) -> None:
        """Nobody looks any more."""
        self._live.close()

    def _open(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        parts = self._parts
        before = parts.reasoning_end() if self._has_reasoned else parts.no_reasoning()
        return before + parts.text_begin()

    def _on_late(self, closed: Closed) -> None:
        self._ready.append(closed)
        self._wake()

    def _piece(self, text: str) -> str:
        """Return a piece of open text, or all of it if it was held back and no block is on its way any more."""
        if not self._is_held:
            return self._shown_text(text)
        if self._live.is_behind:
            return ""
        self._is_held = False
        return self._still_open()

    def _still_open(self) -> str:
        return self._shown_text(self._text.decode("utf-16-le", "surrogatepass"))

    def _shown_text(self, text: str) -> str:
        """Return open text as HTML, without the blank lines that it begins with."""
        if self._is_blank:
            text = text.lstrip("\r\n")
            self._is_blank = not text
        return escape(clean(text))

    def _blocks(self) -> str:
        new = [closed for closed in self._ready if closed.number >= self._shown]
        self._ready.clear()
        if not new:
            return ""
        blocks = [self._parts.block(closed.number, closed.html) for closed in new]
        pieces = [self._parts.tail_end(), *blocks, self._parts.tail_begin()]
        self._shown = new[-1].number + 1
        del self._text[: 2 * (new[-1].end - self._end)]
        self._end = new[-1].end
        # Sent anew after each of many late blocks, a long text would be a page of quadratic length.
        self._is_held = self._live.is_behind and len(self._text) > 2 * AGAIN
        self._is_blank = True
        if not self._is_held:
            pieces.append(self._still_open())
        return "".join(pieces)
