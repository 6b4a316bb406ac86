"""A slow viewer costs no memory and delays nobody: it falls behind, catches up, or is told that it cannot."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.web.app_keys import CHANNELS
from app.web.events.push import BUFFER_BYTES
from app.web.http import accept
from tests.support.sse import Event, text_of
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, until_event

CHUNK = "x" * 65_536
MOST = 4096  # chunks; the kernel keeps less than that for a connection
STUCK = 6  # chunks in a row that find the slow viewer behind


@asynccontextmanager
async def lazy(stage: Stage, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for a stream of events over a socket with a small buffer, and read nothing unless told to."""
    host, port = stage.live.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
        # HTTP/1.0: the body comes as it is and ends with the connection.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        await writer.drain()
        try:
            yield reader
        finally:
            writer.transport.abort()


def buffered(stage: Stage) -> list[int]:
    """Bytes that wait in this process for each viewer of session s1."""
    viewers = stage.registry.session("s1")._viewers
    return [watch._viewer._transport.get_write_buffer_size() for watch in viewers]  # type: ignore[attr-defined]


def frames(raw: bytes) -> list[tuple[str, str]]:
    """The names and the data of the frames of a response."""
    body = raw.partition(b"\r\n\r\n")[2].decode()
    lines = [frame.split("\n")[-2:] for frame in body.split("\n\n") if "data: " in frame]
    return [(name.removeprefix("event: "), data.removeprefix("data: ")) for name, data in lines]


async def flood(stage: Stage, events: AsyncIterator[Event]) -> list[Event]:
    """Let the model say chunk after chunk, as fast as a quick viewer reads, until the slow one is stuck.

    That is: until nothing more fits into the kernel's buffers, and it stays behind.
    """
    channels = stage.live.app[CHANNELS][accept.EVENTS]
    seen: list[Event] = []
    stuck = 0
    for _ in range(MOST):
        stage.puppet.generations[-1].say(CHUNK)
        seen += await until_event(events, "token")
        stuck = stuck + 1 if sum(channel.followers for channel in channels) == 1 else 0
        if stuck == STUCK:
            return seen
    raise AssertionError(f"the kernel took {MOST} chunks")


async def test_it_falls_behind_and_catches_up(tmp_path: Path) -> None:
    """The quick viewer has had everything while the slow one read nothing; then that one gets it all as well."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**30) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with (
            lazy(stage, registered["events_url"]) as slow,
            stage.client.events(registered["events_url"]) as quick,
        ):
            await until(lambda: stage.registry.statistics().viewers == 2)
            seen = await flood(stage, quick)
            assert max(buffered(stage)) <= BUFFER_BYTES + 3 * len(CHUNK)
            generation.finish()
            seen += [event async for event in quick]
            raw = await slow.read(-1)
        text = await asyncio.to_thread(
            text_of, seen
        )  # megabytes: the loop under test is not the place for them
        shown = await asyncio.to_thread(frames, raw)
        assert (shown[0][0], shown[-1][0]) == ("start", "end")
        assert len(text) == raw.count(b"x" * 1024) * 1024
        await stage.settled()


async def test_one_that_is_overtaken_by_the_logs_bound_is_told_so(tmp_path: Path) -> None:
    """What it has not read fell out of the log: its response ends with a `reset` of reason `lagging`."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**17) as stage:
        first = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with (
            lazy(stage, "/api/sessions/s1/events") as slow,
            stage.client.events(first["events_url"]) as quick,
        ):
            await until(lambda: stage.registry.statistics().viewers == 2)
            await flood(stage, quick)
            assert stage.registry.session("s1").log.floor > 0  # the bound holds within one answer, too
            generation.finish()
            assert [event.name async for event in quick] == ["end"]
            raw = await slow.read(-1)
        name, data = (await asyncio.to_thread(frames, raw))[-1]
        assert (name, data) == ("reset", '{"reason":"lagging","snapshot_url":"/api/sessions/s1"}')
        await stage.settled()


async def test_one_that_leaves_while_it_is_behind_is_forgotten(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """Also when nobody could write to it any more."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation, max_answer_bytes=2**30) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as quick:
            async with lazy(stage, registered["events_url"]):
                await until(lambda: stage.registry.statistics().viewers == 2)
                await flood(stage, quick)
            await until(lambda: stage.registry.statistics().viewers == 1)
            generation.finish()
            assert [event.name async for event in quick] == ["end"]
        await stage.settled()
