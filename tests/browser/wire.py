"""A wire between browser and server that a test can cut: a plain TCP relay on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

CHUNK = 65_536  # bytes
CLOSING = 5.0  # s
EVENTS = b"GET /events?"
REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Wire:
    """Relays connections to the server until it is cut, and again once it is mended.

    It sees what the shared worker asks for, which a page's routes do not.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._open: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[Any]] = set()  # one for each connection
        self._muted: set[asyncio.StreamWriter] = (
            set()
        )  # the ends at the browser of connections that carry nothing now
        self._events: asyncio.StreamWriter | None = None  # of the newest request for events
        self._is_hole = False
        self._whole = True
        self.url = ""  # where the browser finds it
        self.refusals = (
            0  # how many requests for events are answered by a 502, as a proxy does during a deploy
        )
        self.asked: list[str] = []  # what the requests for events asked for

    def cut(self) -> None:
        """Break all connections; new ones are closed at once."""
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    async def aclose(self) -> None:
        """Break all connections for good. Bounded."""
        self.cut()
        if self._relays:
            await asyncio.wait(self._relays, timeout=CLOSING)

    def mend(self) -> None:
        """Let new connections through again."""
        self._whole, self._is_hole = True, False

    def mute(self, *, all_open: bool = False, new_ones: bool = False) -> None:
        """Carry nothing any more, without closing anything, as a firewall does that has lost its table.

        What is muted is the newest connection for events, or `all_open` ones, and `new_ones` until the wire is mended.
        """
        self._is_hole = new_ones
        if all_open:
            self._muted |= self._open
        elif self._events:
            self._muted.add(self._events)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection, both ways."""
        relay = asyncio.current_task()
        assert relay is not None
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        if not self._whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:  # nobody listens there now
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        if not self._whole:  # since a moment ago
            self.cut()
        try:
            if self._is_hole:
                self._muted |= ends
            await asyncio.gather(
                self._pump_requests(reader, far_writer, writer), self._pump(far_reader, writer)
            )
        finally:
            self._open -= ends
            self._muted -= ends
            for end in ends:
                end.transport.abort()

    async def _pump_requests(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, near: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(CHUNK):
                if data.startswith(EVENTS):  # a request without a body comes in one piece
                    self.asked.append(unquote(data.split()[1].decode()))
                    self._events = near
                    if self.refusals > 0:
                        self.refusals -= 1
                        near.write(REFUSAL)
                        continue
                if near not in self._muted:
                    far.write(data)
                    await far.drain()
            far.close()
        except ConnectionError:
            far.transport.abort()  # the other direction ends with it

    async def _pump(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                if near not in self._muted:
                    near.write(data)
                    await near.drain()
            near.close()
        except ConnectionError:
            near.transport.abort()  # the other direction ends with it


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A wire to the server at `url`, for as long as the block lasts."""
    wire = Wire(url)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        await wire.aclose()
        await server.wait_closed()
