"""Clients that hang up at any moment: nothing is logged as an error, nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from pathlib import Path

import pytest

from tests.support.waiting import until, until_told
from tests.web.stage import NDJSON, SSE, Stage, on_stage

pytestmark = pytest.mark.slow

DROPS = 30
BODY = '{"prompt":"hello"}'
POST = (
    "POST /api/sessions/s2/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n"
)
REQUESTS = {
    "events": "GET /api/sessions/s1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "reset": "GET /api/sessions/s1/events?after=1-1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST as SSE": f"{POST}Accept: {SSE}\r\n\r\n{BODY}",
    "POST as NDJSON": f"{POST}Accept: {NDJSON}\r\n\r\n{BODY}",
    "POST": f"{POST}\r\n{BODY}",
    "half a body": f"{POST}\r\n{BODY[:5]}",
    "half a head": POST,
    "form": "POST /api/sessions/s2/streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n\r\nprom",
    "page": "GET /sessions/s1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "DELETE": "DELETE /api/sessions/s2/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def hang_up(writer: asyncio.StreamWriter, how: int) -> None:
    """Close with FIN, or with RST."""
    if how % 2:
        connection = writer.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def stopped(stage: Stage) -> bool:
    """Stop what runs; return whether nothing is left. A prompt counts even if its client left before it was read."""
    for session_id in ("s1", "s2"):
        await stage.client.delete(f"/api/sessions/{session_id}/stream")
    now = stage.registry.statistics()
    return not (now.active or now.queued or now.viewers or now.zombies)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_hanging_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, handler_cancellation: bool, kind: str
) -> None:
    """Whatever was asked for, and however far the server had come with it."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage:
        await stage.client.post("s1", "hello")
        address = stage.live.url.removeprefix("http://").split(":")
        for drop in range(DROPS):
            _, writer = await asyncio.open_connection(address[0], int(address[1]))
            writer.write(REQUESTS[kind].encode())
            for _ in range(drop // 2):  # so that each hits the handler at another step
                await asyncio.sleep(0)
            hang_up(writer, drop)
        await until(lambda: not stage.registry.statistics().viewers)
        await until_told(lambda: stopped(stage))
    troubles = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not troubles, [(record.name, record.getMessage(), record.exc_info) for record in troubles]
