"""A model server whose every word and every closing is a step of the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

from app.chat.errors import UpstreamError, UpstreamTruncated
from app.chat.ports import Delta, Listener, Model, Request, Usage

MODEL = Model("model", "explored", 4096, continues=True)


class Behaviour(NamedTuple):
    """How one answer behaves. The default is a model server without fault."""

    tokens: int = 1
    ends: Literal["complete", "error", "crash", "silent"] = "complete"  # after its tokens
    closes: Literal["at once", "when told", "late", "never"] = "at once"  # after `abort`
    close_raises: bool = False
    deaf: Literal["", "reading", "closing"] = ""  # where it swallows cancellation, and waits on
    hears_after: float = 0.0  # s from `abort`, then a deaf one goes on; 0: not before the end of the run
    talks_on: bool = False  # a deaf one yields one more token when it goes on


LATE = 1.2  # s, between the close timeout and the supersede timeout


class Step(NamedTuple):
    """Something that the world outside can do now."""

    label: str
    do: Callable[[], None]


class Watcher(Protocol):
    """Who wants to know what the model server sees."""

    def opened(self, answer: Answer) -> None:
        """A generation was requested."""
        ...

    def starved(self) -> float:
        """Tell for how long the loop has been late so far, in seconds."""
        ...


class Answer:
    """A `Generation`. It is open, for the model server, from the first `read` until its connection is closed."""

    def __init__(self, upstream: Upstream, behaviour: Behaviour) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.listener: Listener | None = None
        self.heard = 0.0
        self.upstream = upstream
        self.behaviour = behaviour
        self.opened = False
        self.aborted_at: float | None = None
        self.starved_before = 0.0
        self.written = 0
        self._closed = asyncio.Event()
        self._word: asyncio.Future[None] | None = None  # what a `read` waits for
        self._relented = False

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self.opened else "unopened"
        return f"<Answer {self.label} {state} written={self.written}>"

    @property
    def label(self) -> str:
        """The prompt that it answers."""
        return self.upstream.label

    @property
    def is_open(self) -> bool:
        """Whether the model server works for it."""
        return self.opened and not self._closed.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether there is no connection, or none any more."""
        return not self.is_open

    # ---- the port --------------------------------------------------------------------------------------------

    async def read(self) -> list[Delta]:
        """See `Generation`."""
        if self.aborted_at is not None:
            raise UpstreamTruncated("aborted")
        if not self.opened:
            self.opened = True
            self.upstream.watcher.opened(self)
        self._word = asyncio.get_running_loop().create_future()
        try:
            await self._hear(self._word)
            self._word.result()
        finally:
            self._word = None
        if self.aborted_at is not None and not self.behaviour.talks_on:
            raise UpstreamTruncated("aborted")
        return self._speak()

    async def _hear(self, word: asyncio.Future[None]) -> None:
        while True:
            try:
                await asyncio.wait({word})
            except asyncio.CancelledError:
                if self.behaviour.deaf != "reading":
                    self.abort()
                    raise
            else:
                return

    def _speak(self) -> list[Delta]:
        if self.written < self.behaviour.tokens or self._relented:
            self.written += 1
            return [Delta("token", [f"{self.written} "])]
        if self.behaviour.ends == "error":
            raise UpstreamError("the model server failed")
        if self.behaviour.ends == "crash":
            raise RuntimeError("a mistake in the backend")
        self.finish_reason = "stop"
        self.abort()
        return []

    def abort(self) -> None:
        """See `Generation`."""
        if self.aborted_at is not None:
            return
        loop = asyncio.get_running_loop()
        self.aborted_at, self.starved_before = loop.time(), self.upstream.watcher.starved()
        if self.behaviour.deaf == "reading":
            if self.behaviour.hears_after:
                loop.call_later(self.behaviour.hears_after, self.relent)
            return
        if self._word is not None and not self._word.done():
            self._word.set_result(None)
        if self.behaviour.closes == "at once":
            self._closed.set()
        elif self.behaviour.closes == "late":
            loop.call_later(LATE, self._close)

    def _close(self) -> None:
        self._closed.set()

    async def wait_closed(self) -> None:
        """See `Generation`."""
        if not self.opened:
            return
        if self.behaviour.close_raises:
            raise RuntimeError("a mistake in closing")
        while not self._closed.is_set():
            try:
                await self._closed.wait()
            except asyncio.CancelledError:
                if self.behaviour.deaf != "closing":
                    raise

    # ---- what the explorer does with it ----------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """What the model server can do now."""
        silent = self.behaviour.ends == "silent" and self.written >= self.behaviour.tokens
        if self._word is not None and not self._word.done() and self.aborted_at is None and not silent:
            last = self.written >= self.behaviour.tokens
            yield Step(f"{self.label} {'ends' if last else 'writes'}", self._utter)
        if self.aborted_at is not None and self.is_open and self.behaviour.closes == "when told":
            yield Step(f"{self.label} closes", self._closed.set)

    def _utter(self) -> None:
        if self._word is None or self._word.done():
            return
        if self.listener is None or self.aborted_at is not None or self.written >= self.behaviour.tokens:
            self._word.set_result(None)
            return
        try:
            self.listener(self._speak())
        except Exception as error:  # noqa: BLE001 - `read` raises it
            self._word.set_exception(error)

    def relent(self) -> None:
        """Behave at last: whatever waits for this answer may go on."""
        self._relented = self.aborted_at is not None
        self._utter()
        if self.aborted_at is not None:
            self._closed.set()


class Upstream:
    """The `Backend` of one prompt, so that each prompt has an answer with a behaviour of its own."""

    name = "explored"

    def __init__(self, label: str, behaviour: Behaviour, watcher: Watcher) -> None:
        self.label = label
        self.watcher = watcher
        self.answers: list[Answer] = []
        self._behaviour = behaviour

    def __repr__(self) -> str:
        return f"<Upstream {self.answers}>"

    async def models(self) -> list[Model]:
        """See `Backend`."""
        return [MODEL]

    def generate(self, request: Request) -> Answer:
        """See `Backend`."""
        answer = Answer(self, self._behaviour)
        self.answers.append(answer)
        return answer

    async def aclose(self) -> None:
        """See `Backend`."""
