"""Where a node says that the others reach it, if nobody has told it: its address on the way to the engines."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.config.settings import Settings
from app.doctor.inside import database as doctor
from app.nodes.addresses import address_of, is_out_of_reach
from app.nodes.postgres_hosts import Host, hosts_of
from app.wiring.errors import StartupError
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNodes


def settings(database_url: str, **others: Any) -> Settings:
    """Settings of a node on every address of its machine."""
    return Settings(host="0.0.0.0", database_url=database_url, **others)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        (None, []),
        ("memory:", []),
        ("postgresql://u:p@db:5433/name", [Host("db", 5433)]),
        ("postgresql://db", [Host("db", 5432)]),
        ("postgresql://u:p%40@db1:5432,db2:6000/name", [Host("db1", 5432), Host("db2", 6000)]),
        ("postgresql://db1,db2:6000", [Host("db1", 5432), Host("db2", 6000)]),
        ("postgresql://u@[::1]:6000,[::2]/name?sslmode=require", [Host("::1", 6000), Host("::2", 5432)]),
        ("postgresql:///name?host=db1,db2&port=6000,6001", [Host("db1", 6000), Host("db2", 6001)]),
        ("postgresql:///name?host=db1,db2&port=6000", [Host("db1", 6000), Host("db2", 6000)]),
        ("postgresql://db:1/name?host=other&port=6000", [Host("db", 1)]),
        ("postgresql://u@/name?host=/var/run/postgresql", []),
        ("postgresql://%2Fvar%2Frun/name", []),
        ("postgresql://db:x,/name", []),
    ],
)
def test_the_hosts_of_a_database(url: str | None, hosts: list[Host]) -> None:
    """As libpq and asyncpg read them."""
    assert hosts_of(url) == hosts


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:5432,127.0.0.2:5432/db",
        "postgresql://u:p@nowhere.invalid:5432,127.0.0.1:5432/db",
        "postgresql:///db?host=127.0.0.1",
    ],
)
async def test_the_first_host_on_the_way(url: str) -> None:
    """One that has no address is passed over."""
    assert await address_of(settings(url), "0.0.0.0", 8080) == "http://127.0.0.1:8080"


async def test_the_way_to_redis() -> None:
    """If the database is reached by a socket."""
    chosen = settings("postgresql:///db?host=/run", redis_url="redis+sentinel://nowhere.invalid,127.0.0.1/m")
    assert await address_of(chosen, "0.0.0.0", 8080) == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("url", "is_out"),
    [
        ("postgresql://127.0.0.1:5432,127.0.0.2:5432/db", False),
        ("postgresql://127.0.0.1:5432,192.0.2.1:5432/db", True),
        ("postgresql://192.0.2.1/db", True),
        ("postgresql:///db?host=/run", False),
    ],
)
def test_an_address_that_is_this_machines_alone(url: str, *, is_out: bool) -> None:
    """With any server of the database on another machine."""
    assert is_out_of_reach(settings(url), "http://127.0.0.1:8080") is is_out


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.mark.slow
async def test_no_host_is_the_right_one(nodes: LiveNodes) -> None:
    """Such as during a failover: the start says so in a sentence, and so does the doctor."""
    url = f"{nodes.database_url}&target_session_attrs=standby"
    with pytest.raises(StartupError, match="None of the hosts match"):
        await nodes.start(database_url=url)
    [finding] = await doctor.check(settings(url))
    assert "None of the hosts match" in finding.text


@pytest.mark.slow
async def test_a_database_whose_first_host_refuses(nodes: LiveNodes, refusing: int) -> None:
    """Two nodes work at the second one, and the doctor finds nothing."""
    parts = urlsplit(nodes.database_url)
    [folder] = parse_qs(parts.query)["host"]
    async with TcpProxy(f"{folder}/.s.PGSQL.5432").serving() as way:
        url = f"postgresql://postgres@127.0.0.1:{refusing},127.0.0.1:{way.port}{parts.path}"
        a, b = await nodes.start(database_url=url), await nodes.start(database_url=url)
        await a.ownership.own("s")
        await b.client.ask("s", "Hello", model="scripted/short")
        assert [finding.level for finding in await doctor.check(settings(url))] == ["ok"]
        assert way.connections > 2
