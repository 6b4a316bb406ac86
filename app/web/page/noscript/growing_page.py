"""The page for a browser without JavaScript, while an answer is written: HTML that goes on until the answer ends.

The page is rendered twice, with marks where the answer stands. What comes before them is sent at once, then the answer
as it grows, and at its end what comes after the marks in the page as it is by then.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from app.log.answer_view import AnswerView
from app.log.entries import Begun, Entry
from app.streams.session import Session
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import HEADERS
from app.web.page.live.renderer import Renderer
from app.web.page.noscript.growing_answer import Around, GrowingAnswer

COOKIE = "tailrace_plain"  # set by a form, deleted by the page's script: whoever has it runs none


class Place(NamedTuple):
    """Where in a page an answer stands: the message, and the mark that is rendered around its pieces."""

    message_id: str
    mark: str


def place_of(message_id: str) -> Place:
    """Return a place whose mark no text can hold by chance."""
    return Place(message_id, f"<!--{secrets.token_hex(16)}-->")


class Pieces(NamedTuple):
    """A page, cut at its marks."""

    before: str
    around: Around
    after: str


def cut(page: str, mark: str) -> Pieces:
    """Return the pieces of a page that the answer stands in."""
    before, *around, after = page.split(mark)
    return Pieces(before, Around(*around), after)


class PlainViewer(EventPush):
    """Serves one page. `pieces` are of its first rendering; `again` renders it anew, `None` if the answer is gone.

    `begun` is what the answer had before its stream; `is_live` tells whether that has not ended.
    """

    def __init__(
        self,
        session: Session,
        stream_id: str,
        begun: Begun,
        pulse: HeartbeatTimer,
        renderer: Renderer,
        *,
        is_live: Callable[[], bool],
        pieces: Pieces,
        again: Callable[[], Awaitable[Pieces | None]],
    ) -> None:
        super().__init__(pulse)
        self._session = session
        self._stream_id = stream_id
        self._begun = begun
        self._is_live = is_live
        self._answer = GrowingAnswer(pieces.around, renderer, self._wake.set)
        self._pieces = pieces
        self._again = again
        self._view: AnswerView | None = None  # until its turn there is nothing to see
        self._is_over = False
        self._thought = 0  # pieces of reasoning that were shown
        self._taken = 0  # pieces of the answer
        self._look()

    def __repr__(self) -> str:
        return f"<PlainViewer session={self._session.session_id} stream={self._stream_id}>"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the page, until the answer ends or the client leaves."""
        response = web.StreamResponse(headers=HEADERS)
        response.content_type, response.charset = "text/html", "utf-8"
        return await self._serve(request, response)

    def _came(self) -> None:
        self._session.viewer_came(self, self.close)
        self._session.log.listen(self._on_entry)
        self._look()
        self._is_over = not self._is_live()

    def _left(self) -> None:
        self._session.log.forget(self._on_entry)
        self._session.viewer_left(self)
        self._answer.close()

    def _look(self) -> None:
        """Take the view of the answer, once there is one. It goes on to the end of the answer."""
        answer = self._session.log.answer
        if self._view is None and answer is not None and answer.stream_id == self._stream_id:
            self._view = answer

    def _on_entry(self, entry: Entry) -> None:
        if entry.stream_id == self._stream_id:
            self._look()
            self._is_over = self._is_over or entry.name == "end"
            self._wake.set()

    async def _show(self) -> None:
        begun = self._answer.reason(self._begun.reasoning) + self._answer.add(self._begun.content)
        await self._send_text(self._pieces.before + begun)
        while not (self._gone or self._is_over or self._closing):
            self._wake.clear()
            if html := self._news():
                await self._send_text(html)
            else:
                await self._wake.wait()
        if self._gone:
            return
        await self._send_text(self._news())
        rest = await self._answer.finish()
        now = await self._again() if self._is_over else None
        await self._send_text(rest + (now or self._pieces).after)

    def _news(self) -> str:
        if self._view is None:
            return self._answer.add("")
        thoughts, texts = self._view.reasoning, self._view.texts
        thought, text = "".join(thoughts[self._thought :]), "".join(texts[self._taken :])
        self._thought, self._taken = len(thoughts), len(texts)
        return self._answer.reason(thought) + self._answer.add(text)

    async def _send_text(self, html: str) -> None:
        if html:
            await self._send(html.encode())

    def _heartbeat(self) -> bytes:
        return b"<!-- -->"
