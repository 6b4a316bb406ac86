"""Connections of strangers: slow, idle, too many. They are cut, and others are served all the while."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from app.web.security.connections import PER_ADDRESS, RESERVE, STRANGERS
from tests.functional.processes import Process, serving
from tests.hostile.attacks import BEARER, JSON, STREAMS, TOKEN, URLENCODED, attack, send
from tests.support import hostile
from tests.support.waiting import until

FILES = 160  # open files that a small server may have
PAUSE = 0.25  # seconds between the bytes of who is slow
LATEST = 60.0  # seconds after which even a busy machine must have cut them


@contextmanager
def small_server(folder: Path, **settings: str) -> Iterator[Process]:
    """Run a server that may have few files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
        try:
            process = stack.enter_context(serving(folder, ACCESS_TOKEN=TOKEN, **settings))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield process


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other end has closed a connection. What it sent before is read and dropped."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


async def open_after(connections: list[socket.socket], most: int) -> int:
    """Wait until at most so many connections are open; return how many are."""
    async with asyncio.timeout(hostile.PATIENCE):
        while (left := sum(not is_closed(each) for each in connections)) > most:
            await asyncio.sleep(0.05)
    return left


PROMPT = b'{"prompt": "hi", "model": "scripted/slow-start"}'
ANSWER = hostile.request(
    "POST", STREAMS, JSON, BEARER, "Accept: text/event-stream", f"Content-Length: {len(PROMPT)}", body=PROMPT
)
SLOW: dict[str, tuple[bytes, bytes, int]] = {  # the first bytes, what follows bit by bit, the status
    "nothing": (b"", b"", 0),
    "headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n", 408),
    "one byte at a time": (b"GET /", b"a", 408),
    "no body": (hostile.request("POST", STREAMS, JSON, BEARER, "Content-Length: 8000"), b"", 408),
    "a login": (
        hostile.request("POST", "/login", URLENCODED, "Content-Length: 8000") + b"token=",
        b"a",
        408,
    ),
    "a prompt": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Content-Length: 8000") + b'{"prompt": "',
        b"a",
        408,
    ),
    "chunks": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Transfer-Encoding: chunked"),
        b"1;extension\r\na\r\n",
        408,
    ),
    "a second request": (hostile.request("GET", "/healthz") + b"GET / HTTP/1.1\r\nX: ", b"x", 200),
    "a second request, after an answer of some seconds": (ANSWER + b"GET / HTTP/1.1\r\nX: ", b"x", 201),
}


async def drip(url: str, first: bytes, rest: bytes) -> int:
    """Send slowly until the other end closes the connection; return the status of what it sent."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(first)
    reading = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(LATEST):
            while not reading.done():
                await asyncio.wait({reading}, timeout=PAUSE)
                writer.write(rest)
        with suppress(ConnectionError):
            return hostile.status(await reading)
        return 0
    finally:
        writer.transport.abort()


@pytest.mark.slow
async def test_who_is_too_slow_is_cut(process: Process) -> None:
    """Headers have ten seconds, a body has to come at 240 bytes a second after five; an idle user has longer."""
    parts = urlsplit(process.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(hostile.request("GET", "/api/sessions/s1/events", BEARER))
    await reader.readuntil(b"\r\n\r\n")
    with hostile.connect(process.url) as idle:
        idle.sendall(hostile.request("GET", "/healthz"))
        assert hostile.status(idle.recv(65_536)) == 200
        statuses = await asyncio.gather(*(drip(process.url, first, rest) for first, rest, _ in SLOW.values()))
        assert not is_closed(idle)
    assert dict(zip(SLOW, statuses, strict=True)) == {kind: status for kind, (_, _, status) in SLOW.items()}
    assert not reader.at_eof()  # the stream of events goes on
    writer.transport.abort()


async def test_more_strangers_than_their_memory_allows(process: Process) -> None:
    """With headers almost as large as they may be, none of them complete: the first ones are closed."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"X-%d: %b\r\n" % (n, b"y" * 140) for n in range(100)
    )
    async for attempt in hostile.suffering(process.pid, process.url, "/api/sessions", [BEARER]):
        async with attempt, AsyncExitStack() as stack:
            connections = []
            for number in range(STRANGERS + 300):
                connections.append(stack.enter_context(hostile.connect(process.url)))
                with suppress(ConnectionError):
                    connections[-1].sendall(head)
                if number % 20 == 0:
                    await asyncio.sleep(0.01)
            assert await open_after(connections, STRANGERS) > STRANGERS * 0.9
            assert is_closed(connections[0])
    assert process.log.count("connections_closed") < 10


async def test_more_connections_than_files(tmp_path: Path) -> None:
    """Strangers make room for each other; whoever has access does not notice, and the log says it in few lines."""
    with small_server(tmp_path) as process:
        async for attempt in hostile.suffering(process.pid, process.url, "/api/sessions", [BEARER]):
            async with attempt, AsyncExitStack() as stack:
                connections = []
                for number in range(FILES * 4):
                    connections.append(stack.enter_context(hostile.connect(process.url)))
                    if number % 20 == 0:
                        assert hostile.status(await asyncio.to_thread(send, process.url, HEALTHZ)) == 200
                await open_after(connections, FILES - RESERVE)
                # One that was just accepted is closed in the next turn of the loop.
                await until(lambda: psutil.Process(process.pid).num_fds() <= FILES - RESERVE + 2)
        assert 0 < process.log.count("connections_closed") < 10
        assert "reason=descriptors" in process.log
        assert "Traceback" not in process.log


HEALTHZ = hostile.request("GET", "/healthz", "Connection: close")


async def test_as_many_event_streams_as_files(tmp_path: Path) -> None:
    """Nobody can be closed in favour of a newcomer: it gets a 503, and the health check its answer."""
    events = hostile.request("GET", "/api/sessions/s1/events", BEARER)
    page = hostile.request("GET", "/api/sessions", BEARER)
    with small_server(tmp_path) as process, ExitStack() as stack:
        statuses = []
        for _ in range(FILES):
            connection = stack.enter_context(hostile.connect(process.url))
            connection.sendall(events)
            statuses.append(hostile.status(connection.recv(65_536)))
            if statuses[-1] != 200:
                break
        assert statuses[-1] == 503
        assert len(statuses) > FILES / 2
        for _ in range(3):
            assert hostile.status(await asyncio.to_thread(send, process.url, HEALTHZ)) == 200
            received = await asyncio.to_thread(send, process.url, page)
            assert hostile.status(received) == 503
            assert b"\r\nRetry-After: " in received
        assert "Traceback" not in process.log


async def test_one_address_has_a_share_of_its_own(tmp_path: Path) -> None:
    """Beyond it connections are closed at once; other addresses are served."""
    own = [
        each.address
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    if not own:
        pytest.skip("this machine has no address but those of the loopback interface")
    with serving(tmp_path, ACCESS_TOKEN=TOKEN, HOST="0.0.0.0") as process, ExitStack() as stack:
        port = urlsplit(process.url).port
        connections = [
            stack.enter_context(hostile.connect(f"http://{own[0]}:{port}")) for _ in range(PER_ADDRESS + 50)
        ]
        assert await open_after(connections, PER_ADDRESS) == PER_ADDRESS
        assert hostile.status(await asyncio.to_thread(send, process.url, HEALTHZ)) == 200
        assert "reason=address" in process.log


ODD: dict[str, tuple[bytes, set[int]]] = {
    "headers without end": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000, {400, 431}),
    "large headers": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"X: " + b"y" * 8000 + b"\r\n") * 3 + b"\r\n",
        {431},
    ),
    "line ends": (b"\r\n" * 500_000, {400, 431}),
    "a long address": (b"GET /" + b"a" * 1_000_000, {400}),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", {200}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {400, 421}),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", {400}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500_000, {400}),
    "nothing but zeros": (bytes(500_000), {400}),
    "an upgrade": (
        hostile.request("GET", "/healthz", "Connection: upgrade", "Upgrade: websocket") + b"x" * 500_000,
        {200},
    ),
    "HTTP/2": (
        hostile.request("GET", "/healthz", "Connection: Upgrade, close", "Upgrade: h2c"),
        {200},
    ),
    "CONNECT": (
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 500_000,
        {401, 404, 405},
    ),
    "trailers": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Transfer-Encoding: chunked")
        + b"0\r\n"
        + b"X: y\r\n" * 100_000,
        {400},
    ),
    "two lengths": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Content-Length: 2", "Content-Length: 3", body=b"{}"),
        {400},
    ),
    "a length and chunks": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Content-Length: 2", "Transfer-Encoding: chunked"),
        {400},
    ),
    "a negative length": (hostile.request("POST", STREAMS, JSON, BEARER, "Content-Length: -2"), {400}),
    "a huge chunk": (
        hostile.request("POST", STREAMS, JSON, BEARER, "Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
        {400},
    ),
}


async def test_what_is_odd_is_answered_and_closed(process: Process) -> None:
    """Whatever it is: each connection ends, and others do not notice."""
    async for attempt in hostile.suffering(process.pid, process.url, memory=32 * hostile.MIB):
        async with attempt:
            for kind, (data, expected) in ODD.items():
                statuses = await attack(process.url, [data] * 4)
                assert set(statuses) <= expected | {0}, (kind, statuses)


@pytest.mark.parametrize("path", ["/healthz", "/login", "/static/main.js"])
async def test_pipelined_requests_are_bounded(process: Process, path: str) -> None:
    """Some are answered in turn. Who sends far more than that, and reads nothing, is cut off."""
    flood = hostile.request("GET", path) * 20_000
    async for attempt in hostile.suffering(process.pid, process.url, "/api/sessions", [BEARER]):
        async with attempt, AsyncExitStack() as stack:
            connections = [stack.enter_context(hostile.connect(process.url)) for _ in range(20)]
            for connection in connections:
                connection.setblocking(False)
                with suppress(OSError):
                    connection.send(flood)
            await asyncio.sleep(2)


def test_a_few_pipelined_requests_are_all_answered(process: Process) -> None:
    """In their order."""
    requests = [hostile.request("GET", path) for path in ("/healthz", "/nothing", "/readyz", "/healthz")]
    received = send(process.url, b"".join(requests) + HEALTHZ)
    statuses = re.findall(rb"HTTP/1\.1 ([0-9]+)", received)
    assert statuses == [b"200", b"401", b"200", b"200", b"200"]
