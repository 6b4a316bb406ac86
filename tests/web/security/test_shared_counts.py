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
from app.wiring.errors import StartupError
from tests.doubles.tcp_proxy import TcpProxy
from tests.machine import need
from tests.support.ports import free_port
from tests.support.redis_cluster import running_redis_cluster
from tests.support.sentinel import NAME, running_watched
from tests.support.server import LiveServer, serve
from tests.support.tls import trusted
from tests.support.valkey import running_valkey
from tests.support.waiting import until, until_told
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


@pytest.mark.slow
async def test_counts_follow_the_sentinels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also past one that is away, and to a promoted replica; a database of its own is used."""
    monkeypatch.setattr(shared_counts, "AWAY", 0.0)
    monkeypatch.setattr(shared_counts, "ANSWER", 2.0)
    with running_watched() as (primary, replica, sentinel):
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/{NAME}/3"
        async with locked(tmp_path / "a", url) as first, locked(tmp_path / "b", url) as second:
            statuses = [await guess((first, second)[number % 2], "198.51.100.1") for number in range(12)]
            assert statuses == [401] * 10 + [429] * 2
            assert b"db3:keys=2" in await asyncio.to_thread(primary.command, "INFO", "keyspace")

            async def is_copied() -> bool:
                return b"db3:keys=2" in await asyncio.to_thread(replica.command, "INFO", "keyspace")

            await until_told(is_copied)
            primary.kill()

            async def is_promoted() -> bool:
                return await asyncio.to_thread(sentinel.names, replica)

            await until_told(is_promoted, within=40)
            async with locked(tmp_path / "c", url) as third:
                assert await guess(third, "198.51.100.1") == 429
                with capture_logs() as lines:
                    assert await guess(first, "198.51.100.2") == 401
                assert "guesses_not_shared" not in [line["event"] for line in lines]


async def test_sentinels_that_are_away_are_told_of(tmp_path: Path) -> None:
    """In a sentence, without what the client knows of them."""
    url = f"redis+sentinel://:secret@127.0.0.1:{free_port()}/{NAME}?sentinel_password=secret"
    with capture_logs() as lines:
        async with locked(tmp_path / "data", url) as live:
            assert await guess(live, "198.51.100.1") == 401
    [line] = [line for line in lines if line["event"] == "guesses_not_shared"]
    assert line["error"] == "no sentinel names a primary"
    assert "secret" not in str(lines)


@pytest.mark.slow
async def test_counts_in_a_redis_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its shard, for all servers."""
    monkeypatch.setattr(shared_counts, "ANSWER", 5.0)
    with running_redis_cluster() as cluster:
        async with (
            locked(tmp_path / "a", cluster.url) as first,
            locked(tmp_path / "b", cluster.url) as second,
        ):
            statuses = [await guess((first, second)[number % 2], "198.51.100.1") for number in range(12)]
            assert statuses == [401] * 10 + [429] * 2
            for server in cluster.servers:
                server.kill()
            with capture_logs() as lines:
                assert [await guess(first, "198.51.100.2") for _ in range(3)] == [401] * 3
    assert [line["event"] for line in lines].count("guesses_not_shared") == 1


async def test_counts_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rediss://`; nobody hears of a guess by way of a server whose certificate is not valid."""
    monkeypatch.setattr(shared_counts, "ANSWER", 5.0)
    tls = trusted(tmp_path, monkeypatch)
    with running_valkey() as valkey:
        async with TcpProxy(valkey.port).serving(tls) as front:
            url = f"rediss://127.0.0.1:{front.port}/0"
            async with locked(tmp_path / "a", url) as first, locked(tmp_path / "b", url) as second:
                statuses = [await guess((first, second)[number % 2], "198.51.100.1") for number in range(12)]
                assert statuses == [401] * 10 + [429] * 2
            monkeypatch.delenv("SSL_CERT_FILE")
            async with locked(tmp_path / "c", url) as third:
                with capture_logs() as lines:
                    assert await guess(third, "198.51.100.1") == 401
    [line] = [line for line in lines if line["event"] == "guesses_not_shared"]
    assert "certificate verify failed" in line["error"]


async def test_a_primary_that_became_a_replica_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address leads to another server by now; connections to the old one would be refused for ever."""
    monkeypatch.setattr(shared_counts, "AWAY", 0.0)
    with running_valkey() as old, running_valkey() as new:
        async with (
            TcpProxy(old.port).serving() as address,
            locked(tmp_path / "data", f"redis://127.0.0.1:{address.port}/0") as live,
        ):
            assert await guess(live, "198.51.100.1") == 401
            address.target = new.port
            await asyncio.to_thread(old.command, "REPLICAOF", "127.0.0.1", "1")
            with capture_logs() as lines:
                assert [await guess(live, "198.51.100.1") for _ in range(2)] == [401] * 2
            told = [line["event"] for line in lines if line["event"].startswith("guesses_")]
            assert told == ["guesses_not_shared", "guesses_shared"]
            assert b"db0:keys=2" in await asyncio.to_thread(new.command, "INFO", "keyspace")


async def test_an_address_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    """With the setting's name, and without the password in it."""
    with pytest.raises(StartupError, match="TAILRACE_GUESSES_URL") as refused:
        async with locked(tmp_path, "redis://:secret@host:port/0"):
            pass
    assert "secret" not in str(refused.value)
