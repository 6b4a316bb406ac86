"""An answer as HTML that only ever grows at its end: the reasoning, then closed blocks, and between them open text.

A piece of open text is hidden, by the style sheet, as soon as the block follows that it has become.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from app.markdown.plain import clean, escape
from app.tasks.timeouts import within
from app.web.page.live.answer_blocks import AnswerBlocks, Closed
from app.web.page.live.renderer import Renderer

GROUP = 8  # blocks, as in `static/markdown/content.js`
AGAIN = 16 * 1024  # characters of open text that are sent again after a block, at most, while blocks are late
LATE_SECONDS = 10.0  # that the last blocks may take after the end of the answer


class Around(NamedTuple):
    """What stands around an answer and its reasoning, as HTML."""

    unreasoned: str  # the box of a reasoning that there is none of
    opening: str  # of the box
    closing: str
    content: str  # the opening of the answer's own text


class GrowingAnswer:
    """Takes the reasoning and the text of an answer, returns HTML.

    The text is opened as late as can be: what stands before it can no longer be changed then. `wake` is called when a
    block is ready that took longer.
    """

    def __init__(self, around: Around, renderer: Renderer, wake: Callable[[], None]) -> None:
        self._around = around
        self._live = AnswerBlocks(renderer, self._on_late)
        self._wake = wake
        self._has_reasoned = False
        self._is_open = False  # whether the answer's own text has begun
        self._ready: list[Closed] = []
        self._shown = 0  # blocks
        self._end = 0  # of them, in UTF-16 code units
        self._is_held = False  # open text is not sent, for blocks are on their way that will cover most of it
        self._text = bytearray()  # what they do not cover, as UTF-16: that is how blocks are measured

    def reason(self, text: str) -> str:
        """Return what comes next of the reasoning. What is thought after the first word is seen after a reload."""
        if not text or self._is_open:
            return ""
        opening = "" if self._has_reasoned else self._around.opening
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
        return f"{rest}{escape(clean(self._still_open())) if self._is_held else ''}</div></div>"

    def close(self) -> None:
        """Nobody looks any more."""
        self._live.close()

    def _open(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        before = self._around.closing if self._has_reasoned else self._around.unreasoned
        return before + self._around.content + '<div class="group"><div class="tail">'

    def _on_late(self, closed: Closed) -> None:
        self._ready.append(closed)
        self._wake()

    def _piece(self, text: str) -> str:
        """Return a piece of open text, or all of it if it was held back and no block is on its way any more."""
        if not self._is_held:
            return escape(clean(text))
        if self._live.is_behind:
            return ""
        self._is_held = False
        return escape(clean(self._still_open()))

    def _still_open(self) -> str:
        return self._text.decode("utf-16-le", "surrogatepass")

    def _blocks(self) -> str:
        new = [closed for closed in self._ready if closed.number >= self._shown]
        self._ready.clear()
        if not new:
            return ""
        pieces = ["</div>"]
        for closed in new:
            pieces.append(f'<div class="block" data-index="{closed.number}">{closed.html}</div>')
            if closed.number % GROUP == GROUP - 1:
                pieces.append('</div><div class="group">')
        self._shown = new[-1].number + 1
        del self._text[: 2 * (new[-1].end - self._end)]
        self._end = new[-1].end
        pieces.append('<div class="tail">')
        # Sent anew after each of many late blocks, a long text would be a page of quadratic length.
        self._is_held = self._live.is_behind and len(self._text) > 2 * AGAIN
        if not self._is_held:
            pieces.append(escape(clean(self._still_open())))
        return "".join(pieces)
