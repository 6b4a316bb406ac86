"""The history in virtual time: it suspends as a database does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.chat.records import Admission, Exchange, KnownKey, Message, SessionInfo, StreamState
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

    async def admit(self, exchange: Exchange) -> Admission:
        await asyncio.sleep(0)
        admission = await super().admit(exchange)
        if admission.known is None:
            self.admitted.append(exchange.stream.stream_id)
        await asyncio.sleep(0)  # the commit is acknowledged a moment later
        return admission

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

    async def delete(self, owner: str, session_id: str, *, undoable: bool = False) -> None:
        await asyncio.sleep(0)
        await super().delete(owner, session_id, undoable=undoable)


class FullHistory(SlowHistory):
    """A history whose disk is full by the time an answer is to be kept."""

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        await asyncio.sleep(0)
        raise OSError("no space left on device")
