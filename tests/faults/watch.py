"""A viewer of one session that remembers what it saw."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.support.client import Client
from tests.support.sse import Event, text_of
from tests.support.waiting import until


class Watch:
    """Reads a session's events from a cursor on, for as long as the block lasts or until it `leave`s."""

    def __init__(self, client: Client, session_id: str, cursor: str) -> None:
        self.events: list[Event] = []
        self._client = client
        self._path = f"/api/sessions/{session_id}/events"
        self._cursor = cursor

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read(), name="watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close the connection. What went wrong while reading is raised here."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        if not self._reading.cancelled():
            self._reading.result()

    async def closed(self) -> None:
        """Return once the server has ended the response, in order and in time."""
        await asyncio.wait({self._reading}, timeout=10)
        assert self._reading.done(), "the response did not end"

    def of(self, stream_id: str) -> list[Event]:
        """The events of one stream."""
        return [event for event in self.events if event.data["stream_id"] == stream_id]

    def has(self, stream_id: str, name: str) -> bool:
        """Whether such an event has come."""
        return any(event.name == name for event in self.of(stream_id))

    async def end(self, stream_id: str) -> Event:
        """Return the `end` of a stream once it has come."""
        await until(lambda: self.has(stream_id, "end") or self._reading.done(), within=60)
        return self.of(stream_id)[-1]

    async def _read(self) -> None:
        async with self._client.events(self._path, self._cursor) as events:
            async for event in events:
                if event.name != "heartbeat":
                    self.events.append(event)


def check(events: list[Event]) -> None:
    """Check the life of every stream in a session's events: one start, one end, no stream within another."""
    seen: list[str] = []
    for event in events:
        stream_id = event.data["stream_id"]
        if event.name == "start":
            assert stream_id not in seen, "started twice"
            assert not seen or seen[-1] == "", f"{stream_id} started within {seen[-1]}"
            seen += [stream_id]
        else:
            assert seen[-1:] == [stream_id], f"{event} is not of the running stream"
        if event.name == "end":
            seen += [""]
    assert seen[-1:] == [""], "a stream has no end"
    for stream_id in filter(None, seen):
        own = [event for event in events if event.data["stream_id"] == stream_id]
        text_of(own)
        assert sum(event.data["count"] for event in own if event.name == "token") == own[-1].data["tokens"]
