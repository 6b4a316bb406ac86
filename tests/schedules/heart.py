"""What the explorer drives: the product's registry, or something that claims to be one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from app.chat.ports import Logger
from app.chat.records import History
from app.chat.submission import Submission
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.line import Lines
from app.streams.registry import Registered, Registry
from app.streams.session import Session
from tests.schedules.upstream import Upstream


class LiveStream(Protocol):
    """A stream in line."""

    stream_id: str

    @property
    def backend(self) -> Upstream:
        """Where it reads from."""
        ...


class LiveSession(Protocol):
    """A session with its line of streams."""

    @property
    def log(self) -> SessionLog:
        """The log that its streams write."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The streams that have not ended, the oldest first."""
        ...


class Heart(Protocol):
    """A registry of streams."""

    @property
    def remembers(self) -> bool: ...  # whether its streams go to the history

    def session(self, session_id: str) -> LiveSession: ...
    def find(self, session_id: str) -> LiveSession | None: ...
    async def register(self, ask: Submission) -> Registered: ...
    async def stop(self, owner: str, stream_id: str, *, wait: float) -> Any: ...
    async def stop_session(self, owner: str, session_id: str, *, wait: float) -> Any: ...
    async def delete_session(self, owner: str, session_id: str, *, wait: float) -> None: ...
    async def close(self, *, patience: float = 0.0) -> None: ...
    def zombies(self) -> int: ...
    def in_line(self) -> int: ...  # streams that wait for the model server, or have a slot of it


class HeartMaker(Protocol):
    """Makes a heart for one run."""

    def __call__(
        self,
        *,
        history: History,
        bounds: Bounds,
        logger: Logger,
        new_id: Callable[[], str],
        answers: int | None,
    ) -> Heart: ...


class ProductHeart(Registry):
    """The product itself, and no more than what the explorer has to see of it."""

    remembers = True
    new_lines: type[Lines] = Lines

    def __init__(self, *, answers: int | None, bounds: Bounds, **parts: Any) -> None:
        limited = {} if answers is None else {Upstream.name: answers}
        lines = self.new_lines(limited, bounds.line_limit)
        super().__init__(now=lambda: 0.0, bounds=bounds, lines=lines, **parts)

    def in_line(self) -> int:
        """How many streams wait for the model server, will wait for it, or have a slot of it."""
        return sum(line.waiting + line.expected + line.served for line in self.lines)

    def zombies(self) -> int:
        """How many producers outlived their bound, and live."""
        return self.statistics().zombies


def viewable(session: LiveSession) -> Session:
    """Return the session for a viewer. Only the product has viewers."""
    assert isinstance(session, Session)
    return session
