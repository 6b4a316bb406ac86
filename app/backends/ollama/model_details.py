"""The details of models from `/api/show`, cached by digest. One request at a time, but at once for a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.backends.ollama.models import Shown, Tag
from app.chat.errors import UpstreamUnreachable

MOST_ASKED = 500  # models asked about in the background; a prompt asks about its own
PASS_TIMEOUT = 30.0  # s for all background requests; the rest is requested after the next list
CLOSE_TIMEOUT = 1.0  # s that cancelled requests may take to end


class Details:
    """Sends one request per model and digest. Concurrent callers share it.

    In the background it asks about one model at a time: a hostile server makes each answer as large as it may be.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Shown]]) -> None:
        self.changes = 0  # how often the details have changed
        self._ask = ask
        self._shown: dict[Tag, Shown] = {}
        self._tags: dict[str, Tag] = {}  # by name, from the last list
        self._questions: dict[Tag, asyncio.Task[Shown]] = {}
        self._pass: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Details known={len(self._shown)} asking={len(self._questions)}>"

    def known(self, name: str) -> Shown | None:
        """Return the cached details of a model, `None` without any."""
        return self._shown.get(self._tag(name))

    async def look(self, tags: Sequence[Tag], seconds: float) -> None:
        """Request the details of listed models that are unknown; wait for them, `seconds` at most.

        The requests continue after the wait.
        """
        self._tags = {tag.name: tag for tag in tags}
        self._shown = {tag: shown for tag, shown in self._shown.items() if self._tags.get(tag.name) == tag}
        missing = [tag for tag in tags[:MOST_ASKED] if tag not in self._shown]
        if missing and self._pass is None and not self._closed:
            self._pass = asyncio.create_task(self._ask_all(missing), name="ollama-details")
            self._end = asyncio.get_running_loop().call_later(PASS_TIMEOUT, self._pass.cancel)
            self._pass.add_done_callback(self._passed)
        if self._pass is not None:
            await asyncio.wait({self._pass}, timeout=seconds)

    async def get(self, name: str, seconds: float | None = None) -> Shown | None:
        """Return the details of a model, `None` if the request fails or takes longer than `seconds`."""
        tag = self._tag(name)
        if tag in self._shown or self._closed:
            return self._shown.get(tag)
        question = self._question(tag)
        await asyncio.wait(
            {question}, timeout=seconds
        )  # a cancelled waiter does not cancel the shared request
        return self._shown.get(tag)

    async def aclose(self) -> None:
        """Cancel all requests. Bounded, idempotent."""
        self._closed = True
        tasks: set[asyncio.Task[None] | asyncio.Task[Shown]] = set(self._questions.values())
        if self._pass is not None:
            tasks.add(self._pass)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)

    def _tag(self, name: str) -> Tag:
        return self._tags.get(name, Tag(name, ""))

    def _question(self, tag: Tag) -> asyncio.Task[Shown]:
        if tag not in self._questions:

            async def ask() -> Shown:
                return await self._ask(tag.name)

            def asked(question: asyncio.Task[Shown]) -> None:
                del self._questions[tag]
                # Details are optional: if the server has a problem, the chat reports it.
                if not question.cancelled() and question.exception() is None:
                    self._shown[tag] = question.result()
                    self.changes += 1

            self._questions[tag] = asyncio.create_task(ask(), name="ollama-show")
            self._questions[tag].add_done_callback(asked)
        return self._questions[tag]

    async def _ask_all(self, tags: Sequence[Tag]) -> None:
        for tag in tags:
            question = self._question(tag)
            await asyncio.wait({question})
            if question.cancelled() or self._closed or isinstance(question.exception(), UpstreamUnreachable):
                return  # the rest is requested after the next list

    def _passed(self, _: asyncio.Task[None]) -> None:
        self._pass = None
        if self._end is not None:
            self._end.cancel()
