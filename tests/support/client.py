"""A client of the protocol for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from tests.support.sse import Event, read_events


class Client:
    """Speaks `protocol` to the server at `url`. Each request has its own connection."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url = url
        self.http = aiohttp.ClientSession(
            url,
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30),
            headers=headers,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def post(
        self, session_id: str, prompt: str, *, key: str | None = None, **body: Any
    ) -> dict[str, Any]:
        """Register a stream; return the answer with its HTTP status as `http`."""
        return await self.register(session_id, key=key, prompt=prompt, **body)

    async def register(self, session_id: str, *, key: str | None = None, **body: Any) -> dict[str, Any]:
        """Register a stream with any body; return the answer with its HTTP status as `http`."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/api/sessions/{session_id}/streams"
        async with self.http.post(path, json=body, headers=headers) as response:
            return {
                "http": response.status,
                "headers": response.headers,
                **await response.json(content_type=None),
            }

    async def get(self, path: str) -> dict[str, Any]:
        """Return a JSON answer with its HTTP status as `http`."""
        async with self.http.get(path) as response:
            body = await response.json(content_type=None) if response.status != 204 else {}
            return {"http": response.status, **body}

    async def delete(self, path: str) -> dict[str, Any]:
        """Send a DELETE; return the JSON answer with its HTTP status as `http`."""
        async with self.http.delete(path) as response:
            body = await response.json(content_type=None) if response.status != 204 else {}
            return {"http": response.status, **body}

    async def stop(self, stream_id: str, wait: float | None = None) -> dict[str, Any]:
        """Stop a stream."""
        return await self.delete(f"/api/streams/{stream_id}" + ("" if wait is None else f"?wait={wait}"))

    @asynccontextmanager
    async def events(self, path: str, cursor: str | None = None) -> AsyncIterator[AsyncIterator[Event]]:
        """Open an event stream; leaving the block closes its connection."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(self.http.get(path, headers=headers))
            assert response.status == 200, await response.text()
            yield read_events(response)

    async def read_stream(self, stream_id: str, cursor: str | None = None) -> list[Event]:
        """Return all events of one stream, heartbeats left out."""
        async with self.events(f"/api/streams/{stream_id}/events", cursor) as events:
            return [event async for event in events if event.name != "heartbeat"]

    async def ask(self, session_id: str, prompt: str, **body: Any) -> list[Event]:
        """Register a stream and return all of its events."""
        return await self.read_stream((await self.post(session_id, prompt, **body))["stream_id"])
