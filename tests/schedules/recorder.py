"""The outer ports in virtual time: a history that suspends as a database does, and a logger that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from app.chat.records import Exchange, KnownKey, Message, SessionInfo, StreamState
from app.history.memory import MemoryHistory


class SlowHistory(MemoryHistory):
    """A history in memory with an `await` that really suspends before each step: others may come in between."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted: list[str] = []  # streams, but for those withdrawn

    def message_of(self, stream_id: str) -> str | None:
        """Return the answer that a stream writes, or wrote."""
        state = self._streams.get(stream_id)
        return state.message_id if state is not None else None

    async def check(self, owner: str, session_id: str) -> bool:
        await asyncio.sleep(0)
        return await super().check(owner, session_id)

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        await asyncio.sleep(0)
        return await super().known_key(owner, session_id, key)

    async def admit(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        await super().admit(exchange)
        self.admitted.append(exchange.stream.stream_id)
        await asyncio.sleep(0)  # the commit is acknowledged a moment later

    async def withdraw(self, stream_id: str) -> None:
        await asyncio.sleep(0)
        self.admitted.remove(stream_id)
        await super().withdraw(stream_id)

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        await asyncio.sleep(0)
        await super().finish(state, content, reasoning)

    async def discard(self, stream_id: str) -> None:
        await asyncio.sleep(0)
        await super().discard(stream_id)

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        await asyncio.sleep(0)
        return await super().stream(owner, stream_id)

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        await asyncio.sleep(0)
        return await super().session(owner, session_id)

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        await asyncio.sleep(0)
        return await super().messages(owner, session_id)

    async def delete(self, owner: str, session_id: str) -> None:
        await asyncio.sleep(0)
        await super().delete(owner, session_id)


class FullHistory(SlowHistory):
    """A history whose disk is full by the time an answer is to be kept."""

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        await asyncio.sleep(0)
        raise OSError("no space left on device")


class Line(NamedTuple):
    """One line of the log file."""

    event: str
    fields: dict[str, Any]


class Recorder:
    """A `Logger` that keeps its lines, and tells of each."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.told: Callable[[Line], None] = lambda line: None

    def __repr__(self) -> str:
        return f"<Recorder lines={len(self.lines)}>"

    def debug(self, event: str, /, **fields: Any) -> None:
        """See `Logger`."""
        line = Line(event, fields)
        self.lines.append(line)
        self.told(line)

    info = warning = error = debug

    def said(self, event: str, trace: str) -> bool:
        """Tell whether a line was written about a stream."""
        return any(line.event == event and line.fields.get("trace") == trace for line in self.lines)
