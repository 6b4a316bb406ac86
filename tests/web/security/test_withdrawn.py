"""Revoked or signed out in the middle of a request: what was not sent is not sent, and what arrives is refused."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.functional.test_heavy_requests import imported
from tests.support.hostile import request
from tests.support.tokens import add, bearer, known, revoke, sign_in
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage

BOUND = 10.0  # s; twice 2 s and more, for a busy machine
MESSAGES, SIZE = 6, 4_000_000
PIECE = 2048
JSON = "Content-Type: application/json"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server for whoever has a token."""
    async with on_stage(tmp_path, auth="tokens") as stage:
        yield stage


class Wire:
    """A connection whose other end takes as little as it can."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        """Send this."""
        self._writer.write(data)

    async def some(self) -> bytes:
        """Return a little of what arrives; nothing at the end, which may be a reset."""
        try:
            async with asyncio.timeout(BOUND):
                return await self._reader.read(PIECE)
        except ConnectionError:
            return b""

    async def rest(self) -> bytes:
        """Return all that still arrives."""
        received = bytearray()
        while data := await self.some():
            received += data
        return bytes(received)

    async def head(self) -> bytes:
        """Return the headers of a response."""
        async with asyncio.timeout(BOUND):
            return await self._reader.readuntil(b"\r\n\r\n")


@asynccontextmanager
async def wire(stage: Stage) -> AsyncIterator[Wire]:
    """Connect to the server, with the smallest buffers."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    port = int(stage.live.url.rpartition(":")[2])
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=PIECE)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def lines(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


async def withdraw(stage: Stage, folder: Path, way: str, headers: dict[str, str]) -> None:
    """Revoke alice's token, or sign her browser out."""
    if way == "revoked":
        await revoke(folder, "alice")
        await known(stage.client, headers, 401)
    else:
        async with stage.http.post("/logout", headers=headers, allow_redirects=False) as response:
            assert response.status == 303


async def let_in(stage: Stage, folder: Path, way: str) -> dict[str, str]:
    """Return the headers with which alice is let in."""
    token = await add(folder, "alice")
    await known(stage.client, bearer(token))
    return bearer(token) if way == "revoked" else {"Cookie": await sign_in(stage.client, token)}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["revoked", "signed-out"])
@pytest.mark.parametrize("more", [[], ["Connection: close"]], ids=["kept", "closing"])
async def test_what_is_read_slowly_is_cut(stage: Stage, tmp_path: Path, way: str, more: list[str]) -> None:
    """An export that is made piece by piece, and a session that waits in memory."""
    headers = await let_in(stage, tmp_path, way)
    stage.http.headers.update(headers)
    status, archive = await imported(stage.http, MESSAGES, "x" * SIZE)
    stage.http.headers.clear()
    assert status == 201
    sid = archive["session_id"]
    async with wire(stage) as export, wire(stage) as session:
        export.send(request("GET", f"/api/sessions/{sid}/export", *lines(headers), *more))
        session.send(request("GET", f"/api/sessions/{sid}", *lines(headers), *more))
        for each in (export, session):
            assert b" 200 " in await each.head()
        await until(lambda: sum(held > 0 for held in stage.live.buffered) >= 1)
        await withdraw(stage, tmp_path, way, headers)
        await until(lambda: not any(stage.live.buffered), within=BOUND)
        for each in (export, session):
            assert len(await each.rest()) < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("way", ["revoked", "signed-out"])
async def test_a_request_that_arrives_meanwhile_is_refused(stage: Stage, tmp_path: Path, way: str) -> None:
    """It is answered without the rest of its body, and nothing comes of it."""
    headers = await let_in(stage, tmp_path, way)
    body = json.dumps({"prompt": "hi", "model": "scripted/short"}).encode()
    size = f"Content-Length: {len(body)}"
    async with wire(stage) as prompt, wire(stage) as archive:
        prompt.send(request("POST", "/api/sessions/s9/streams", *lines(headers), JSON, size) + body[:-3])
        archive.send(request("POST", "/api/sessions/import", *lines(headers), JSON, size) + b'{"kind":')
        other = bearer(await add(tmp_path, "bob"))
        await known(stage.client, other)  # and alice's have arrived
        await withdraw(stage, tmp_path, way, headers)
        for each in (prompt, archive):
            answered = await each.rest()
            assert answered.startswith(b"HTTP/1.1 401 "), answered
            assert b"not_signed_in" in answered
    assert not stage.registry.statistics().active


@pytest.mark.slow
async def test_a_connection_of_several_owners_stays(stage: Stage, tmp_path: Path) -> None:
    """Behind a proxy, others go on with a connection on which all that was asked has been answered."""
    headers = await let_in(stage, tmp_path, "revoked")
    other = bearer(await add(tmp_path, "bob"))
    await known(stage.client, other)
    async with wire(stage) as shared:
        shared.send(request("HEAD", "/api/openapi.json", *lines(headers)))
        assert b" 200 " in await shared.head()
        await withdraw(stage, tmp_path, "revoked", headers)
        shared.send(request("HEAD", "/api/openapi.json", *lines(other)))
        assert b" 200 " in await shared.head()
