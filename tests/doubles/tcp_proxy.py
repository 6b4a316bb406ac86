"""A network between two processes that can be cut, held up or slowed down, in one direction or in both."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import compress

CHUNK = 65536  # bytes
ON_THE_WAY = 1024  # chunks in one direction; more wait at the sender


class TcpProxy:
    """Passes connections to a port of this machine, or to a Unix socket, on. Use `serving`."""

    def __init__(self, target: int | str) -> None:
        self.port = 0
        self.delay = 0.0  # s that each chunk is on the way
        self.loses_replies = False  # what the target sends is thrown away
        self.connections = 0  # so far
        self.sent = 0  # chunks of clients so far: of one that waits for each reply, its round trips
        self.target = target  # a port, or the path of a socket
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._is_barred: Callable[[int], Awaitable[bool]] | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpProxy]:
        """Serve on a free loopback port for the length of the block; with `tls`, connections end it here."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.drop()
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await server.wait_closed()

    def cut(self) -> None:
        """Break all connections, and accept no others."""
        self._is_cut = True
        self.drop()

    def mend(self) -> None:
        """Undo `cut`, `bar` and `freeze`."""
        self._is_cut = False
        self._is_barred = None
        self._flows.set()

    async def bar(self, is_barred: Callable[[int], Awaitable[bool]]) -> None:
        """Break the connections from some clients, and accept no others from them. They are told by their ports."""
        self._is_barred = is_barred
        clients = tuple(self._clients)
        found = await asyncio.gather(*(is_barred(_port(writer)) for writer in clients))
        for writer in compress(clients, found):
            writer.transport.abort()

    def drop(self) -> None:
        """Break the connections there are."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through, and tell nobody. What was sent arrives after `mend`, if somebody still waits."""
        self._flows.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut or (self._is_barred is not None and await self._is_barred(_port(writer))):
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        ends = (writer, far_writer)
        self._open.update(ends)
        self._clients.add(writer)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, ends, is_reply=False)),
            asyncio.create_task(self._pump(far_reader, writer, ends, is_reply=True)),
        ]
        for task in pumps:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        *,
        is_reply: bool,
    ) -> None:
        """Carry one direction. Its end is the end of both."""
        loop = asyncio.get_running_loop()
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY)
        delivering = asyncio.create_task(self._deliver(way, writer, is_reply=is_reply))
        try:
            while data := await reader.read(CHUNK):
                self.sent += not is_reply
                await way.put((loop.time() + self.delay, data))
            await way.put((0.0, b""))
            await delivering
        except OSError:
            pass  # broken, which is what this double is for
        finally:
            delivering.cancel()
            for end in ends:
                end.transport.abort()
                self._open.discard(end)
                self._clients.discard(end)

    async def _deliver(
        self, way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await way.get()
            if not data:
                return
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flows.wait()
            if not (is_reply and self.loses_replies):
                writer.write(data)
                await writer.drain()


def _port(client: asyncio.StreamWriter) -> int:
    """Return the port of a client; 0 if it has left."""
    peer = client.get_extra_info("peername")
    return int(peer[1]) if peer else 0
