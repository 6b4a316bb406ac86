"""Wakes those who wait for a session to have another owner. Hints may be lost, so they look by themselves, too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat


class Moves:
    """Who waits for which session."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<Moves awaited={len(self)}>"

    def __len__(self) -> int:
        """The number of sessions that somebody waits for."""
        return len(self._waiting)

    def told(self, session_id: str) -> None:
        """Wake those who wait for a session: it has another owner, which may be this node."""
        for waiter in self._waiting.pop(session_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, session_id: str, seconds: float) -> None:
        """Return once the session is told to have moved, or after `seconds`."""
        waiter = asyncio.get_running_loop().create_future()
        there = self._waiting.setdefault(session_id, set())
        there.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            there.discard(waiter)
            if not there and self._waiting.get(session_id) is there:
                del self._waiting[session_id]


def pauses() -> Iterator[float]:
    """Yield the seconds between the looks of one reader: a dead node may leave hundreds of them."""
    return chain((0.25, 0.5), repeat(1.0))
