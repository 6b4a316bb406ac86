"""The heart by itself: a registry on a history in memory, with a puppet for a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from app.chat.submission import Submission
from app.history.memory import MemoryHistory
from app.streams.bounds import Bounds
from app.streams.line import Lines
from app.streams.registry import Registered, Registry
from app.streams.stream import Stream
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.waiting import until

OWNER = "somebody"


class Heart:
    """A registry and the few things that tests do with it."""

    def __init__(self, bounds: Bounds, backend: PuppetBackend, *, answers: int | None = None) -> None:
        self.backend = backend
        self.history = MemoryHistory()
        logger = structlog.get_logger()
        lines = Lines({} if answers is None else {backend.name: answers}, bounds.line_limit)
        self.registry = Registry(history=self.history, bounds=bounds, logger=logger, lines=lines)

    async def post(self, session_id: str = "s", prompt: str = "hello", **ask: Any) -> Registered:
        """Register a stream."""
        chosen = {"owner": OWNER, "model": self.backend.model, "backend": self.backend, **ask}
        return await self.registry.register(Submission(session_id=session_id, prompt=prompt, **chosen))

    def stream(self, registered: Registered, session_id: str = "s") -> Stream:
        """Return a live stream."""
        streams = self.registry.session(session_id)
        return next(stream for stream in streams if stream.stream_id == registered.stream_id)

    async def opened(self, prompt: str = "hello") -> PuppetGeneration:
        """Wait until the newest generation for this prompt is open, and return it."""

        def newest() -> PuppetGeneration | None:
            asked = reversed(self.backend.generations)
            of_it = (each for each in asked if each.request.messages[-1].content == prompt)
            return next((each for each in of_it if each.opened.is_set()), None)

        await until(newest)
        generation = newest()
        assert generation is not None
        return generation

    def stream_ended(self, session_id: str, stream_id: str) -> bool:
        """Whether the log of a session has the end of a stream."""
        return (stream_id, "end") in self.names(session_id)

    def names(self, session_id: str = "s") -> list[tuple[str, str]]:
        """Return the log of a session as pairs of stream and event name."""
        log = self.registry.session(session_id).log
        return [(entry.stream_id, entry.name) for entry in log.read(0).entries]


def content(stream: Stream) -> str:
    """Return what the log has of an answer."""
    return stream.view.content if stream.view else ""


def thoughts(stream: Stream) -> str:
    """Return what the log has of a reasoning."""
    return stream.view.thoughts if stream.view else ""


@pytest.fixture
def bounds() -> Bounds:
    """Short bounds, so that hanging things are given up soon."""
    return Bounds(supersede_timeout=0.1, close_timeout=0.05, viewer_grace=None)


@pytest.fixture
def backend() -> PuppetBackend:
    """A model that behaves."""
    return PuppetBackend()


@pytest.fixture
async def heart(bounds: Bounds, backend: PuppetBackend) -> AsyncIterator[Heart]:
    """The heart, ended after the test."""
    heart = Heart(bounds, backend)
    yield heart
    await heart.registry.close()
