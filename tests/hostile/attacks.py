"""Who attacks, and how: many connections at the same time, each in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.support import hostile

TOKEN = "b7f1c09e54d2a86f3e17904ac5db6218"
BEARER = f"Authorization: Bearer {TOKEN}"
URLENCODED = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
JSON = "Content-Type: application/json"
STREAMS = "/api/sessions/s1/streams"
LARGE = 12_000_000  # bytes
MANY = 40


def send(url: str, data: bytes) -> bytes:
    """Send bytes on a connection of their own, and return what comes back up to its end."""
    with hostile.connect(url) as connection:
        with suppress(ConnectionError):  # refused before all was sent
            connection.sendall(data)
        return hostile.answer(connection)


async def attack(url: str, requests: list[bytes]) -> list[int]:
    """Send requests at the same time; return the statuses."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(MANY) as threads:
        answers = await asyncio.gather(
            *(loop.run_in_executor(threads, send, url, request) for request in requests)
        )
    return [hostile.status(answer) for answer in answers]


def with_length(method: str, path: str, *headers: str, body: bytes) -> bytes:
    """Return a request with its body and the length of it, the last one of its connection."""
    return hostile.request(
        method, path, *headers, f"Content-Length: {len(body)}", "Connection: close", body=body
    )
