"""Wrong tokens of several servers are counted together in Redis, and without it by each server alone."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio  # noqa: F401 - loaded when it is first used, which would block the loop
from structlog.testing import capture_logs

from app.web.security import shared_counts
from app.wiring import StartupError
from tests.machine import need
from tests.support.server import LiveServer, serve
from tests.support.waiting import until
from tests.web.security.test_access import BEARER, TOKEN
from tests.web.security.test_guesses import guess


@asynccontextmanager
async def redis_server(socket: Path) -> AsyncIterator[str]:
    """Run a Redis server on a Unix socket; return its address."""
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)]
    server = await asyncio.create_subprocess_exec(need("redis"), *options, stdout=subprocess.DEVNULL)
    try:
        await until(socket.exists)
        yield f"redis+unix://{socket}"
    finally:
        server.terminate()
        await server.wait()


@asynccontextmanager
async def locked(folder: Path, url: str) -> AsyncIterator[LiveServer]:
    """Run a server with an access token that counts in Redis."""
    settings: dict[str, Any] = {"access_token": TOKEN, "trusted_proxies": ("127.0.0.1",), "guesses_url": url}
    async with serve(folder, **settings) as live:
        yield live


async def test_two_servers_count_together(tmp_path: Path) -> None:
    """Ten of one client and a hundred of all, whichever server they are sent to; the right token is let in by both."""
    async with (
        redis_server(tmp_path / "redis.sock") as url,
        locked(tmp_path / "a", url) as first,
        locked(tmp_path / "b", url) as second,
    ):
        statuses = [await guess((first, second)[number % 2], "198.51.100.1") for number in range(14)]
        assert statuses == [401] * 10 + [429] * 4
        for number in range(110):
            await guess(second, f"198.51.100.{2 + number % 20}")
        assert await guess(first, "203.0.113.1") == 429
        for live in (first, second):
            async with live.client.http.get("/api/sessions", headers=BEARER) as response:
                assert response.status == 200


async def test_counts_outlive_a_restart(tmp_path: Path) -> None:
    """Of a server, not of Redis."""
    async with redis_server(tmp_path / "redis.sock") as url:
        for statuses in ([401] * 10, [429]):
            async with locked(tmp_path / "data", url) as live:
                assert [await guess(live, "198.51.100.1") for _ in statuses] == statuses


async def test_without_redis_each_server_counts_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let in or shut out by that; the log tells it once, and that it is over."""
    monkeypatch.setattr(shared_counts, "AWAY", 0.0)
    socket = tmp_path / "redis.sock"
    with capture_logs() as lines:
        async with locked(tmp_path / "data", f"redis+unix://{socket}") as live:
            assert [await guess(live, "198.51.100.1") for _ in range(12)] == [401] * 10 + [429] * 2
            async with live.client.http.get("/api/sessions", headers=BEARER) as response:
                assert response.status == 200
            async with redis_server(socket):
                assert await guess(live, "198.51.100.2") == 401
    told = [line["event"] for line in lines if line["event"].startswith("guesses_")]
    assert told == ["guesses_not_shared", "guesses_shared"]
    assert all("Traceback" not in str(line) for line in lines)


async def test_a_redis_that_hangs_delays_a_guess_for_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody else at all: the right token does not ask it."""
    monkeypatch.setattr(shared_counts, "ANSWER", 0.2)
    accepted: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_unix_server(
        lambda _, writer: accepted.append(writer), tmp_path / "redis.sock"
    )
    async with silent:
        with capture_logs() as lines:
            async with locked(tmp_path / "data", f"redis+unix://{tmp_path}/redis.sock") as live:
                async with live.client.http.get("/api/sessions", headers=BEARER) as response:
                    assert response.status == 200
                assert accepted == []
                assert [await guess(live, "198.51.100.1") for _ in range(11)] == [401] * 10 + [429]
        assert len(accepted) == 1, "it is not asked again for a while"
        assert "guesses_not_shared" in [line["event"] for line in lines]
        for writer in accepted:
            writer.close()


async def test_an_address_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    """With the setting's name, and without the password in it."""
    with pytest.raises(StartupError, match="TAILRACE_GUESSES_URL") as refused:
        async with locked(tmp_path, "redis://:secret@host:port/0"):
            pass
    assert "secret" not in str(refused.value)
