"""The page for a browser without JavaScript, while an answer is written: HTML that goes on until the answer ends.

What comes before the answer is sent at once, then the answer as it grows, and at its end the rest of the page as it is
by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from app.log.answer_view import AnswerView
from app.log.entries import Begun, Entry
from app.streams.session import Session
from app.web.blocks.renderer import Renderer
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import HEADERS
from app.web.page.noscript.growing_answer import GrowingAnswer, Parts

COOKIE = "tailrace_plain"  # set by a form, deleted by `static/growing.js`: whoever has it runs no scripts


def forgetting(path: str) -> str:
    """Return what a script assigns to `document.cookie` to delete the cookie of `path`."""
    return f"{COOKIE}=; Path={path}; Max-Age=0; SameSite=Lax"


class PlainViewer(EventPush):
    """Serves one page. `parts` are as of its beginning; `renew` returns them as of now, and what the answer has by now.

    `begun` is what the answer has if its stream has not begun; `is_live` tells whether that has not ended. `kept` are
    the bytes of the messages that `parts` keep in memory, about.
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
        kept: int,
        parts: Parts,
        renew: Callable[[], Awaitable[tuple[Parts, Begun]]],
    ) -> None:
        super().__init__(pulse)
        self._kept = kept
        self._session = session
        self._stream_id = stream_id
        self._begun = begun
        self._is_live = is_live
        self._answer = GrowingAnswer(parts, renderer, self._wake.set)
        self._parts = parts
        self._renew = renew
        self._view: AnswerView | None = None  # until its turn there is nothing to see
        self._is_over = False
        self._thought = 0  # pieces of reasoning that were shown
        self._taken = 0  # pieces of the answer
        self._look()
        if self._view is not None:
            self._begun = self._view.begun

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
        await self._send_text(self._parts.head() + begun)
        while not (self._gone or self._is_over or self._closing):
            self._wake.clear()
            if html := self._news():
                await self._send_text(html)
            else:
                await self._wake.wait()
        if self._gone:
            return
        await self._send_text(self._news())
        parts, now = await self._renew() if self._is_over else (self._parts, self._begun)
        unseen = self._unseen(now) if self._view is None else ""
        await self._send_text(unseen + await self._answer.finish() + parts.foot())

    def _unseen(self, now: Begun) -> str:
        """Return the answer of a stream that began and ended while this page was prepared: the log's view is gone."""
        reasoning, content = self._begun.reasoning, self._begun.content
        thought = self._answer.reason(now.reasoning[len(reasoning) :])
        return thought + self._answer.add(now.content[len(content) :])

    def _news(self) -> str:
        if self._view is None:
            return self._answer.add("")
        thoughts, texts = self._view.reasoning, self._view.text
        thought, text = thoughts.since(self._thought), texts.since(self._taken)
        self._thought, self._taken = len(thoughts), len(texts)
        return self._answer.reason(thought) + self._answer.add(text)

    async def _send_text(self, html: str) -> None:
        if html:
            await self._send(html.encode())

    def _heartbeat(self) -> bytes:
        return b"<!-- -->"
