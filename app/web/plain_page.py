"""The page for a browser without JavaScript, while an answer is written: HTML that goes on until the answer ends.

The page is rendered twice, with marks where the answer stands. What comes before them is sent at once, then the answer
as it grows, and at its end what comes after the marks in the page as it is by then.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from app.streams.frames import Frame
from app.streams.session import Session
from app.streams.stream import Stream
from app.web.event_stream import HEADERS
from app.web.outlet import Outlet
from app.web.plain_answer import Around, PlainAnswer
from app.web.pulse import Pulse
from app.web.renderer import Renderer

COOKIE = "tailrace_plain"  # set by a form, deleted by the page's script: whoever has it runs none


class Place(NamedTuple):
    """Where in a page an answer stands: the message, and the mark that is rendered around its pieces."""

    message_id: str
    mark: str


def place_of(stream: Stream) -> Place:
    """Return a place whose mark no text can hold by chance."""
    return Place(stream.answer.message_id, f"<!--{secrets.token_hex(16)}-->")


class Pieces(NamedTuple):
    """A page, cut at its marks."""

    before: str
    around: Around
    after: str


def cut(page: str, mark: str) -> Pieces:
    """Return the pieces of a page that the answer stands in."""
    before, *around, after = page.split(mark)
    return Pieces(before, Around(*around), after)


class PlainViewer(Outlet):
    """Serves one page. `pieces` are of its first rendering; `again` renders it anew, `None` if the answer is gone."""

    def __init__(
        self,
        session: Session,
        stream: Stream,
        pulse: Pulse,
        renderer: Renderer,
        *,
        pieces: Pieces,
        again: Callable[[], Awaitable[Pieces | None]],
    ) -> None:
        super().__init__(pulse)
        self._session = session
        self._stream = stream
        self._answer = PlainAnswer(pieces.around, renderer, self._wake.set)
        self._pieces = pieces
        self._again = again
        self._thought = 0  # of the stream's pieces of reasoning
        self._taken = 0  # of its texts

    def __repr__(self) -> str:
        return f"<PlainViewer session={self._session.session_id} stream={self._stream.stream_id}>"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the page, until the answer ends or the client leaves."""
        response = web.StreamResponse(headers=HEADERS)
        response.content_type, response.charset = "text/html", "utf-8"
        return await self._serve(request, response)

    def _came(self) -> None:
        self._session.viewer_came(self, self.close)
        self._session.log.listen(self._on_frame)
        self._stream.ended.add_done_callback(self._on_end)

    def _left(self) -> None:
        self._stream.ended.remove_done_callback(self._on_end)
        self._session.log.forget(self._on_frame)
        self._session.viewer_left(self)
        self._answer.close()

    def _on_frame(self, frame: Frame) -> None:
        if frame.stream_id == self._stream.stream_id:
            self._wake.set()

    def _on_end(self, _: asyncio.Future[None]) -> None:
        self._wake.set()

    async def _show(self) -> None:
        begun = self._answer.reason(self._stream.base_reasoning) + self._answer.add(self._stream.base)
        await self._send_text(self._pieces.before + begun)
        while not (self._gone or self._stream.ended.done() or self._closing):
            self._wake.clear()
            if html := self._news():
                await self._send_text(html)
            else:
                await self._wake.wait()
        if self._gone:
            return
        await self._send_text(self._news())
        rest = await self._answer.finish()
        now = await self._again() if self._stream.ended.done() else None
        await self._send_text(rest + (now or self._pieces).after)

    def _news(self) -> str:
        thoughts, texts = self._stream.reasoning, self._stream.texts
        thought, text = "".join(thoughts[self._thought :]), "".join(texts[self._taken :])
        self._thought, self._taken = len(thoughts), len(texts)
        return self._answer.reason(thought) + self._answer.add(text)

    async def _send_text(self, html: str) -> None:
        if html:
            await self._send(html.encode())

    def _heartbeat(self) -> bytes:
        return b"<!-- -->"
