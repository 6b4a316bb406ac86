"""A network between two processes that can be cut, held up or slowed down, in one direction or in both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65536  # bytes
ON_THE_WAY = 1024  # chunks in one direction; more wait at the sender


class TcpProxy:
    """Passes connections to a port of this machine on. Use `serving`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0  # s that each chunk is on the way
        self.loses_replies = False  # what the target sends is thrown away
        self.connections = 0  # so far
        self.target = target  # a port
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[TcpProxy]:
        """Serve on a free loopback port for the length of the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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
        """Undo `cut` and `freeze`."""
        self._is_cut = False
        self._flows.set()

    def drop(self) -> None:
        """Break the connections there are."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through, and tell nobody. What was sent arrives after `mend`, if somebody still waits."""
        self._flows.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        ends = (writer, far_writer)
        self._open.update(ends)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, ends, is_reply=False)),
            asyncio.create_task(self._pump(far_reader, writer, ends, is_reply=True)),
        ]
        for task in pumps:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
