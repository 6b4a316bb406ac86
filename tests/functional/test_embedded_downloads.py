"""Responses of a sub-application that are read slowly: on a connection of the parent, which knows nothing of access."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.embedding import signed_out
from app.web.app_keys import TURNS
from app.web.output import sending
from tests.functional.test_embedding import Site, parent
from tests.functional.test_heavy_requests import JSON, export
from tests.support.hostile import request
from tests.support.waiting import until

BOUND = 20.0  # s
MESSAGES, SIZE = 6, 2_000_000
PIECE = 2048
WAYS = ["/export", "/export?format=markdown", "", "?render=html"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site with a chat."""
    async with parent(tmp_path) as live:
        yield live


async def large(site: Site) -> str:
    """Let alice have a chat with much text; return where it is."""
    data = export(MESSAGES, "x" * SIZE)
    async with site.http.post("/chat/api/sessions/import", data=data, headers=JSON) as response:
        assert response.status == 201, await response.text()
        return f"/chat/api/sessions/{(await response.json())['session_id']}"


@asynccontextmanager
async def slow(site: Site, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for something, and take no more of it than the headers."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    port = int(site.url.rpartition(":")[2])
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=PIECE)
    try:
        writer.write(request("GET", path, "X-Test-User: alice"))
        async with asyncio.timeout(BOUND):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        yield reader
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> int:
    """Return how many bytes still arrive."""
    count = 0
    try:
        async with asyncio.timeout(BOUND):
            while data := await reader.read(PIECE):
                count += len(data)
    except ConnectionError:
        pass
    return count


@pytest.mark.parametrize("way", WAYS)
async def test_signing_out_cuts_what_is_read_slowly(site: Site, way: str) -> None:
    """Neither what waits in memory arrives nor what the system has taken; and the memory is free again."""
    path = await large(site) + way
    unread = site.chat[TURNS].unread
    async with slow(site, path) as reader:
        await until(lambda: unread.of("alice") > 0)
        signed_out(site.chat, "alice")
        assert await rest(reader) < 100_000
        await until(lambda: unread.of("alice") == 0)
    async with site.http.get("/chat/api/sessions") as response:
        assert response.status == 200, "the parent still lets her in"


@pytest.mark.parametrize("way", WAYS[:3])
async def test_who_takes_nothing_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The parent's connections have no bound of their own for that."""
    path = await large(site) + way
    monkeypatch.setattr(sending, "STALL_SECONDS", 0.3)
    unread = site.chat[TURNS].unread
    async with slow(site, path):
        await until(lambda: unread.of("alice") > 0)
        await until(lambda: unread.of("alice") == 0, within=BOUND)
