"""A large body is let go once it is sent, whatever aiohttp and the transport still hold of the response."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import ref

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from app.web.app_keys import GRANT, OWNER, TURNS
from app.web.grants import Grant
from app.web.output.sending import LARGE, in_pieces
from app.web.output.turns import Turns
from app.web.output.unread import Unread
from tests.support.waiting import BOUND, until

SIZE = LARGE + 1  # bytes: what the transport takes without a wait
SMALL = 4096  # bytes that the system takes, or about so many


class Body(bytearray):
    """A body that tells, by a weak reference, whether anybody holds it."""

    __slots__ = ("__weakref__",)


class Bodies:
    """Serves a large body, and knows which of those that it made are still held."""

    def __init__(self) -> None:
        self.made: list[ref[Body]] = []
        self.address = ("", 0)
        self.transport: asyncio.Transport | None = None  # of the last request

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with a new one."""
        self.transport = request.transport
        body = Body(SIZE)
        self.made.append(ref(body))
        return web.Response(body=body)


@web.middleware
async def _as_output_does(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[OWNER], request[GRANT] = "alice", Grant("alice", is_admin=False)
    response = await handler(request)
    in_pieces(request, response)
    return response


@asynccontextmanager
async def serving() -> AsyncIterator[Bodies]:
    """Serve bodies on loopback."""
    bodies, app = Bodies(), web.Application(middlewares=[_as_output_does])
    app[TURNS] = Turns(Unread())
    app.router.add_get("/", bodies.get)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)  # its connections have it, too
        await web.SockSite(runner, listening).start()
        bodies.address = listening.getsockname()
        yield bodies
    finally:
        await runner.cleanup()


def held(bodies: Bodies) -> int:
    """Return how many bodies are held, cycles left out."""
    gc.collect()
    return sum(body() is not None for body in bodies.made)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_idle_connection_holds_no_body(method: str) -> None:
    """The client has all, and keeps the connection for later. Its length is told either way."""
    async with serving() as bodies, aiohttp.ClientSession() as http:
        url = "http://{}:{}".format(*bodies.address)
        async with http.request(method, url) as response:
            assert response.headers["Content-Length"] == str(SIZE)
            assert len(await response.read()) == (SIZE if method == "GET" else 0)
        await until(lambda: not held(bodies))
        async with http.request(method, url) as response:
            assert response.status == 200, "and serves on"


async def _who_reads_nothing() -> None:
    async with serving() as bodies:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, bodies.address)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await until(lambda: bodies.transport is not None and not held(bodies))
            assert bodies.transport is not None
            assert bodies.transport.get_write_buffer_size() > 0, "the end of it waits"
            count = 0
            while data := await asyncio.wait_for(loop.sock_recv(client, LARGE), BOUND):
                count += len(data)
            assert count > SIZE, "all of it arrives, after the headers"


def test_the_end_of_a_body_does_not_hold_the_rest() -> None:
    """The last pieces wait in the transport when all was given to it. On the loop of the server, which takes views."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_who_reads_nothing())
