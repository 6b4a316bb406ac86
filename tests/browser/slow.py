"""A network so slow that a page comes tag by tag: a TCP relay that lets one more through when it is told to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

BOUND = 10.0  # s, for the next tag
PAGE = b"GET /sessions/"


class Slow:
    """Relays everything at once. After `hold`, what the server still has to say of a page waits for `let_through`."""

    def __init__(self, host: str, port: int) -> None:
        self.url = ""  # where the browser finds it
        self._target = (host, port)
        self._holds = False
        self._pages: set[asyncio.StreamWriter] = set()  # connections that carry one
        self._relays: set[asyncio.Task[None]] = set()
        self._held: asyncio.Queue[tuple[asyncio.StreamWriter, bytes]] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Slow]:
        """Stand before a server."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        slow = cls(parts.hostname, parts.port)
        server = await asyncio.start_server(slow.accept, "127.0.0.1", 0)
        slow.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield slow
        finally:
            server.close()
            await slow.aclose()

    async def aclose(self) -> None:
        """Break all connections."""
        for relay in self._relays:
            relay.cancel()
        if self._relays:
            await asyncio.wait(self._relays)

    def hold(self) -> None:
        """From now on, pages wait."""
        self._holds = True

    def release(self) -> None:
        """Let everything through."""
        self._holds = False
        while not self._held.empty():
            writer, piece = self._held.get_nowait()
            writer.write(piece)

    async def let_through(self) -> None:
        """Send the browser the next piece: up to the next tag, or up to the end of one. Raises `TimeoutError`."""
        async with asyncio.timeout(BOUND):
            writer, piece = await self._held.get()
        writer.write(piece)
        await writer.drain()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection, both ways."""
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        for relay in (self._there(reader, far_writer, writer), self._back(far_reader, writer)):
            task = asyncio.create_task(relay)
            self._relays.add(task)
            task.add_done_callback(self._relays.discard)

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if data.startswith(PAGE):
                    self._pages.add(back)
                else:
                    self._pages.discard(back)
                writer.write(data)
        except ConnectionError:
            pass  # the browser has left
        finally:
            writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self._holds and writer in self._pages:
                    for piece in re.findall(rb"<[^>]*>?|[^<]+", data):
                        self._held.put_nowait((writer, piece))
                else:
                    writer.write(data)
        except ConnectionError:
            pass  # the server has closed
        finally:
            writer.close()
