"""A sentinel that names whatever a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

from app.log.shared.redis.wire import command

UNKNOWN = b"*-1\r\n"


class NamingSentinel:
    """Answers each question for a primary with the port in `named`. Use `serving`."""

    def __init__(self, named: int | None = None) -> None:
        self.port = 0
        self.named = named  # `None`: it knows none
        self.is_silent = False
        self.asked = 0  # questions so far

    def url(self, *others: int) -> str:
        """The address of the primary, by way of this sentinel after `others`."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*others, self.port))
        return f"redis+sentinel://{hosts}/mymaster"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[NamingSentinel]:
        """Serve on a free loopback port for the length of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = hiredis.Reader()
        try:
            while data := await reader.read(4096):
                words.feed(data)
                while (asked := words.gets()) is not False:
                    self._answer(asked, writer)
        except OSError:
            pass  # whoever asks leaves as it likes
        finally:
            writer.transport.abort()

    def _answer(self, asked: list[bytes], writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        assert [word.upper() for word in asked] == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"MYMASTER"]
        if not self.is_silent:
            writer.write(UNKNOWN if self.named is None else command("127.0.0.1", self.named))
