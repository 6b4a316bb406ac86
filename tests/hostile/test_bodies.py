"""Hostile bodies: compressed, unfinished, or slow to read. Others hardly notice them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest

from tests.functional.processes import Process
from tests.hostile.attacks import (
    BEARER,
    JSON,
    LARGE,
    MANY,
    MULTIPART,
    STREAMS,
    URLENCODED,
    attack,
    send,
    with_length,
)
from tests.support import hostile


def bomb(size: int) -> bytes:
    """Return zeros, compressed a thousandfold."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(size // len(zeros))) + packer.flush()


CODINGS = [
    ("Content-Encoding: gzip", 415),
    ("Content-Encoding: GZIP", 415),
    ("Content-Encoding: deflate", 415),
    ("Content-Encoding: br", 415),
    ("Content-Encoding: zstd", 415),
    ("Content-Encoding: x-gzip", 415),
    ("Content-Encoding: identity, gzip", 415),
    ("Content-Encoding: nonsense", 415),
    ("Transfer-Encoding: gzip, chunked", 501),
]


@pytest.mark.parametrize(("coding", "expected"), CODINGS)
@pytest.mark.parametrize("who", ["stranger", "user"])
def test_compressed_bodies_are_refused_unread(process: Process, coding: str, expected: int, who: str) -> None:
    """By the headers: no byte of the body need arrive, and the connection ends with the answer."""
    headers = [BEARER] if who == "user" else []
    length = [] if coding.startswith("Transfer") else ["Content-Length: 5000000"]
    for method, path in (("POST", STREAMS), ("POST", "/login"), ("GET", "/"), ("POST", "/nowhere")):
        received = send(process.url, hostile.request(method, path, JSON, coding, *length, *headers))
        assert hostile.status(received) == expected
        assert b"\r\nConnection: close\r\n" in received
        assert b"\r\nX-Content-Type-Options: nosniff\r\n" in received
        problem = json.loads(received.partition(b"\r\n\r\n")[2])
        assert problem["code"] == "compressed_body"
        assert "uncompressed" in problem["detail"] or "without `Content-Encoding`" in problem["detail"]


async def test_a_body_that_unpacks_to_gigabytes_costs_nothing(process: Process) -> None:
    """It is neither unpacked nor read."""
    packed = bomb(1024 * hostile.MIB)
    requests = [
        with_length("POST", path, kind, "Content-Encoding: gzip", *headers, body=packed)
        for path, kind in (("/login", URLENCODED), (STREAMS, JSON), ("/api/sessions/import", MULTIPART))
        for headers in ([], [BEARER])
    ]
    async for attempt in hostile.suffering(process.pid, process.url, memory=16 * hostile.MIB):
        async with attempt:
            statuses = await attack(process.url, requests * 5)
        assert set(statuses) <= {415, 0}


async def test_unfinished_bodies_of_strangers_are_not_kept(process: Process) -> None:
    """They are answered by their headers, and what was sent already is dropped."""
    beginning = b"token=" + b"a" * (LARGE // 2)
    heads = [
        hostile.request("POST", "/login", URLENCODED, f"Content-Length: {LARGE}"),
        hostile.request("POST", "/login", MULTIPART, f"Content-Length: {LARGE}"),
        hostile.request("POST", STREAMS, JSON, f"Content-Length: {LARGE}"),
        hostile.request("PUT", "/static/main.js", f"Content-Length: {LARGE}"),
        hostile.request("POST", "/login", URLENCODED, "Transfer-Encoding: chunked") + b"b71b06\r\n",
    ]
    requests = [head + beginning for head in heads] * (MANY // len(heads))
    async for attempt in hostile.suffering(process.pid, process.url, memory=32 * hostile.MIB):
        async with attempt:
            statuses = await attack(process.url, requests)
        assert set(statuses) <= {413, 415, 401, 405, 0}


async def test_unfinished_bodies_of_a_user_take_turns(process: Process) -> None:
    """All of them are read in the end; no more than a few at a time are in memory."""
    body = json.dumps({"prompt": "hello", "model": "x" * (LARGE - 1_000_000)}).encode()
    head = hostile.request("POST", STREAMS, JSON, BEARER, f"Content-Length: {len(body)}")
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(MANY) as threads:
        async for attempt in hostile.suffering(process.pid, process.url):
            async with attempt, AsyncExitStack() as stack:
                connections = [stack.enter_context(hostile.connect(process.url)) for _ in range(MANY)]
                # Each sends as much as is taken, all but the end.
                sent = await asyncio.gather(
                    *(
                        loop.run_in_executor(threads, _pour, each, head + body[:-1], 2.0)
                        for each in connections
                    )
                )
            assert min(sent) > hostile.MIB  # in buffers of the kernel, and on their way


def _pour(connection: socket.socket, data: bytes, seconds: float) -> int:
    """Send for some seconds what the other end takes; return how much that was."""
    connection.settimeout(seconds)
    sent, until = 0, time.monotonic() + seconds
    try:
        while sent < len(data) and time.monotonic() < until:
            sent += connection.send(data[sent : sent + 65_536])
    except TimeoutError:
        pass
    return sent


async def test_whole_bodies_of_a_user_are_answered(process: Process) -> None:
    """Forty of 8 MB at once, one after the other: each gets its answer."""
    body = json.dumps({"prompt": "hello", "images": [{"data": "AAAA" * 2_000_000}]}).encode()
    async for attempt in hostile.suffering(process.pid, process.url):
        async with attempt:
            statuses = await attack(
                process.url, [with_length("POST", STREAMS, JSON, BEARER, body=body)] * MANY
            )
        assert set(statuses) == {422}


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"1;" + b"x" * 2000 + b"\r\na\r\n", b"6\r\naaaaaa\r\n"])
async def test_chunks_that_cost_more_than_they_carry(process: Process, chunk: bytes) -> None:
    """Refused before they have kept the server busy."""
    head = hostile.request("POST", STREAMS, JSON, BEARER, "Transfer-Encoding: chunked")
    async for attempt in hostile.suffering(process.pid, process.url):
        async with attempt:
            statuses = await attack(process.url, [head + chunk * (4_000_000 // len(chunk))] * 8)
        assert set(statuses) == {400}


def test_a_body_that_is_no_chunk_is_refused(process: Process) -> None:
    """Its reader does not wait for the rest."""
    head = hostile.request("POST", STREAMS, JSON, BEARER, "Transfer-Encoding: chunked")
    with hostile.connect(process.url) as connection:
        connection.sendall(head + b"5\r\nhello\r\n")
        time.sleep(0.2)  # it is being read
        connection.sendall(b"nonsense\r\n")
        received = hostile.answer(connection)
    assert hostile.status(received) == 400
    assert b"bad_body" in received


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "/api/sessions/import", [JSON], 401),
        ("POST", STREAMS, [JSON, BEARER, "Origin: https://evil.example"], 403),
        ("POST", "/nowhere", [JSON, BEARER], 404),
        ("PUT", STREAMS, [JSON, BEARER], 405),
        ("POST", STREAMS, [JSON, BEARER], 413),
        ("POST", "/login", [URLENCODED], 413),
        ("POST", STREAMS, ["Content-Type: text/plain", BEARER], 415),
        ("POST", "/login", [MULTIPART], 415),
    ],
)
@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
def test_a_refusal_does_not_wait_for_the_body(
    process: Process, method: str, path: str, headers: list[str], expected: int, expect: list[str]
) -> None:
    """Answered by the headers, without a `100`, and closed."""
    began = time.monotonic()
    head = hostile.request(method, path, *headers, *expect, "Content-Length: 90000000")
    received = send(process.url, head + (b"" if expect else b"{"))
    assert hostile.status(received) == expected
    assert b"\r\nConnection: close\r\n" in received
    assert time.monotonic() - began < hostile.PATIENCE / 2  # aiohttp itself would wait for ten seconds


def test_a_body_that_is_asked_for_is_sent_after_the_100(process: Process) -> None:
    """`Expect: 100-continue` of who is let in."""
    body = b'{"prompt": "hello"}'
    head = hostile.request(
        "POST", STREAMS, JSON, BEARER, "Expect: 100-continue", f"Content-Length: {len(body)}"
    )
    with hostile.connect(process.url) as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert hostile.status(connection.recv(65_536)) == 201


def test_other_expectations_are_refused(process: Process) -> None:
    """417, without the value being quoted."""
    received = send(process.url, hostile.request("GET", "/healthz", "Expect: <b>miracles</b>"))
    assert hostile.status(received) == 417
    assert b"miracles" not in received


SHAPES = {
    "images": b'{"prompt":"a","images":[' + b"{}," * 3_900_000 + b"{}]}",
    "stop sequences": b'{"prompt":"a","options":{"stop":[' + b'"",' * 3_900_000 + b'""]}}',
    "members": b'{"prompt":"a"' + b',"remember":true' * 700_000 + b"}",
}


@pytest.mark.parametrize("kind", SHAPES)
async def test_millions_of_elements_are_not_made(process: Process, kind: str) -> None:
    """They would be objects of twenty times their size."""
    async for attempt in hostile.suffering(process.pid, process.url):
        async with attempt:
            statuses = await attack(
                process.url, [with_length("POST", STREAMS, JSON, BEARER, body=SHAPES[kind])] * 4
            )
        assert set(statuses) == {413}
