"""An answer as HTML that only ever grows at its end: closed blocks, and between them the text that was open meanwhile.

A piece of open text is hidden, by the style sheet, as soon as the block follows that it has become.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.markdown.plain import clean, escape
from app.web.live_answer import Closed, LiveAnswer
from app.web.renderer import Renderer

GROUP = 24  # blocks
LATE_SECONDS = 10.0  # that the last blocks may take after the end of the answer


class PlainAnswer:
    """Takes the text of an answer, returns HTML. `wake` is called when a block is ready that took longer."""

    def __init__(self, renderer: Renderer, wake: Callable[[], None]) -> None:
        self._live = LiveAnswer(renderer, self._on_block)
        self._wake = wake
        self._ready: list[Closed] = []
        self._shown = 0  # blocks
        self._end = 0  # of them, in UTF-16 code units
        self._text = b""  # what they do not cover, as UTF-16: that is how blocks are measured

    def begin(self, text: str) -> str:
        """Return the beginning, with the text that is there already."""
        return '<div class="group"><div class="tail">' + self.add(text)

    def add(self, text: str) -> str:
        """Return what comes next: blocks that are closed now, or text that is open."""
        if text:
            self._text += text.encode("utf-16-le", "surrogatepass")
            self._live.add(text)
        return self._blocks() or escape(clean(text))

    async def finish(self) -> str:
        """Return the rest. What an earlier block would be with links defined later is seen after a reload."""
        self._live.finish()
        try:
            async with asyncio.timeout(LATE_SECONDS):
                await self._live.settled()
        except TimeoutError:
            pass  # The text is there; what it looks like is seen after a reload.
        return self._blocks() + "</div></div>"

    def close(self) -> None:
        """Nobody looks any more."""
        self._live.close()

    def _on_block(self, closed: Closed) -> None:
        self._ready.append(closed)
        self._wake()

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
        self._text = self._text[2 * (new[-1].end - self._end) :]
        self._end = new[-1].end
        still_open = self._text.decode("utf-16-le", "surrogatepass")
        return "".join([*pieces, '<div class="tail">', escape(clean(still_open))])
