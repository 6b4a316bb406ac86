"""A model that does as it is told: each test says when it speaks, finishes, fails, or refuses to close."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.chat.ports import Delta, Kind, Listener, Model, Note, Piece, Request, Usage


class PuppetGeneration:
    """A generation that yields what is `say`ed. Behaves as the port asks, except where told otherwise."""

    def __init__(self, request: Request, *, stubborn: bool = False, deaf: bool = False) -> None:
        self.request = request
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.listener: Listener | None = None
        self.heard = 0.0
        self.opened = asyncio.Event()
        self.aborted = asyncio.Event()
        self._stubborn = stubborn  # never closes
        self._deaf = deaf  # its read swallows cancellation
        self._waiting: asyncio.Queue[Sequence[Piece] | Exception] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"<PuppetGeneration opened={self.opened.is_set()} aborted={self.aborted.is_set()}>"

    @property
    def is_open(self) -> bool:
        """Whether the model server would be working for it."""
        return self.opened.is_set() and not (self.aborted.is_set() and not self._stubborn)

    def say(self, *texts: str, kind: Kind = "token") -> None:
        """Yield these texts."""
        self._waiting.put_nowait([Delta(kind, list(texts))])

    def note(self, text: str) -> None:
        """Say what it does."""
        self._waiting.put_nowait([Note(text)])

    def finish(self, reason: str = "stop", usage: Usage | None = None) -> None:
        """End the answer."""
        self.finish_reason, self.usage = reason, usage
        self._waiting.put_nowait([])

    def fail(self, error: Exception) -> None:
        """Break off with an error."""
        self._waiting.put_nowait(error)

    async def read(self) -> Sequence[Piece]:
        """See `Generation`."""
        self.opened.set()
        while True:
            try:
                item = await self._waiting.get()
            except asyncio.CancelledError:
                if not self._deaf:
                    raise
                continue
            if isinstance(item, Exception):
                raise item
            return item

    def abort(self) -> None:
        """See `Generation`."""
        self.aborted.set()

    async def wait_closed(self) -> None:
        """See `Generation`."""
        if self._stubborn:
            await asyncio.Event().wait()


class PuppetBackend:
    """Hands out puppets, and remembers them in the order of their opening."""

    name = "puppet"

    def __init__(self, *, stubborn: bool = False, deaf: bool = False) -> None:
        self.continues = True  # whether its model goes on with an answer that broke off
        self.generations: list[PuppetGeneration] = []
        self.stubborn = stubborn
        self.deaf = deaf

    @property
    def model(self) -> Model:
        """Its one model."""
        return Model("puppet", self.name, 4096, continues=self.continues)

    async def models(self) -> list[Model]:
        """See `Backend`."""
        return [self.model]

    def generate(self, request: Request) -> PuppetGeneration:
        """See `Backend`."""
        generation = PuppetGeneration(request, stubborn=self.stubborn, deaf=self.deaf)
        self.generations.append(generation)
        return generation

    async def aclose(self) -> None:
        """See `Backend`."""
