"""What the shipped proxies let in: which names, which headers, how large, how slow, how often."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector, web

from app.web.limits import Limits
from tests.deploy.proxies import PROXIES, Site
from tests.machine import need

BOUND = 20.0  # s
HOSTILE = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-User": "admin",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=http",
}


class Echo:
    """A server that answers with what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[dict[str, str]] = []
        self.whole = 0  # requests whose body came to its end

    async def answer(self, request: web.Request) -> web.Response:
        """Read a request, and say how large its body was."""
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        size = len(await request.read())
        self.whole += 1
        return web.json_response({"bytes": size})


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """In the place of Tailrace; names of headers are in lower case."""
    echo = Echo()
    app = web.Application(client_max_size=2**28)
    app.router.add_route("*", "/{path:.*}", echo.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    echo.port = runner.addresses[0][1]
    yield echo
    await runner.cleanup()


@asynccontextmanager
async def standing(proxy: str, folder: Path, upstream: int, *changes: tuple[str, str]) -> AsyncIterator[Site]:
    """Run a proxy in front of a port."""
    with ExitStack() as stack:
        running = PROXIES[proxy](folder, upstream, changes=changes)
        yield await asyncio.to_thread(stack.enter_context, running)
        await asyncio.to_thread(stack.close)


@pytest.fixture(params=sorted(PROXIES))
async def site(request: pytest.FixtureRequest, echo: Echo, tmp_path: Path) -> AsyncIterator[Site]:
    """Each of the proxies in front of the echo."""
    async with standing(request.param, tmp_path, echo.port) as site:
        yield site


def client(site: Site) -> ClientSession:
    """Return a client of a site."""
    return ClientSession(site.url, connector=TCPConnector(ssl=site.context, limit=0))


async def curl(*arguments: str) -> str:
    """Run curl; return what it prints."""
    command = [need("curl"), "--silent", "--max-time", "15", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.stdout


async def test_http_2_is_spoken(site: Site) -> None:
    """So that a browser needs one connection for all its tabs."""
    version = await curl(
        "--cacert", str(site.certificate), "-o", "/dev/null", "-w", "%{http_version}", site.url
    )
    assert version == "2"


async def test_claims_of_a_client_about_itself_do_not_get_through(site: Site, echo: Echo) -> None:
    """Each is replaced by the truth or removed; nothing is appended to what a stranger sent."""
    async with client(site) as session, session.get("/", headers=HOSTILE) as response:
        assert response.status == 200
    [got] = echo.requests
    assert got["host"] == f"localhost:{site.tls}"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-host"] == f"localhost:{site.tls}"
    assert got["x-forwarded-proto"] == "https"
    assert "x-forwarded-user" not in got
    assert "forwarded" not in got


async def test_plain_http_is_sent_to_https_for_good(site: Site) -> None:
    """A redirect that keeps the method, and HSTS so that the next visit begins with HTTPS."""
    async with ClientSession() as session:
        plain = f"http://localhost:{site.redirect}/sessions/s1?a=b"
        async with session.get(plain, allow_redirects=False) as response:
            assert response.status == 308
            assert response.headers["Location"].startswith("https://localhost")
            assert response.headers["Location"].endswith("/sessions/s1?a=b")
    async with client(site) as session, session.get("/") as response:
        assert int(response.headers["Strict-Transport-Security"].removeprefix("max-age=")) >= 31_536_000


async def test_no_version_is_told(site: Site) -> None:
    """Which release runs here is nobody's business."""
    async with client(site) as session, session.get("/") as response:
        assert response.headers.get("Server", "") in ("", "nginx")


async def test_other_names_get_no_answer(site: Site, echo: Echo) -> None:
    """Neither over HTTP nor over TLS, where not even a certificate is shown."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.redirect)
    writer.write(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
    async with asyncio.timeout(BOUND):
        assert await reader.read() == b""
    writer.close()
    anything = ssl.create_default_context()
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", site.tls, ssl=anything, server_hostname="other.example")
    assert echo.requests == []


SIZES = {"/api/sessions/s1/streams": 13_000_000, "/api/sessions/import": 64 * 2**20 + 65_536}


@pytest.mark.parametrize("path", SIZES)
async def test_what_tailrace_takes_gets_through(site: Site, path: str) -> None:
    """The proxies allow a little more than Tailrace, which then says itself what is too large."""
    body = BytesIO(bytes(SIZES[path]))
    async with client(site) as session, session.post(path, data=body) as response:
        assert response.status == 200
        assert await response.json() == {"bytes": SIZES[path]}


@pytest.mark.parametrize("path", SIZES)
async def test_what_is_far_too_large_does_not_get_through(site: Site, echo: Echo, path: str) -> None:
    """Nginx answers 413 at once; Caddy notices in the middle of the body, and may hang up."""
    body = BytesIO(bytes(SIZES[path] + 3 * 2**20))
    with suppress(ClientError):
        async with client(site) as session, session.post(path, data=body) as response:
            assert response.status in (413, 502)
    assert echo.whole == 0


def test_the_sizes_are_those_of_tailrace() -> None:
    """Its own limits are just below what the proxies let through."""
    limits = Limits()
    for path, size in (
        (next(iter(SIZES)), limits.max_body_bytes),
        ("/api/sessions/import", limits.max_import_bytes),
    ):
        assert SIZES[path] - 2**20 < size <= SIZES[path]


@pytest.mark.parametrize(
    ("proxy", "change"),
    [
        ("nginx", ("_timeout 10s;\n    client_body", "_timeout 1s;\n    client_body")),
        ("caddy", ("read_header 10s", "read_header 1s")),
    ],
)
async def test_a_slow_header_is_cut_off(
    proxy: str, change: tuple[str, str], echo: Echo, tmp_path: Path
) -> None:
    """A client that begins a request and never ends it is gone within the bound."""
    async with standing(proxy, tmp_path, echo.port, change) as site:
        reader, writer = await asyncio.open_connection("localhost", site.tls, ssl=site.context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        async with asyncio.timeout(BOUND):
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()
    assert echo.requests == []


async def test_a_flood_is_turned_away_and_twelve_tabs_are_not(echo: Echo, tmp_path: Path) -> None:
    """Six hundred requests at once are let in; of many more, most get a 429 that costs Tailrace nothing."""
    async with standing("nginx", tmp_path, echo.port) as site, client(site) as session:

        async def ask_in_turn(count: int) -> Counter[int]:
            statuses: Counter[int] = Counter()
            for _ in range(count):
                async with session.get("/") as response:
                    statuses[response.status] += 1
            return statuses

        async def ask(count: int) -> Counter[int]:
            return sum(await asyncio.gather(*(ask_in_turn(count // 20) for _ in range(20))), Counter())

        assert await ask(600) == {200: 600}
        flood = await ask(2000)
        assert flood[429] > flood[200]


async def test_an_ipv6_network_counts_as_one_client(echo: Echo, tmp_path: Path) -> None:
    """The first 64 bits of an address are one customer's; an IPv4 address counts whole."""
    # As bytes these addresses are text, so that a header can show them.
    addresses = (
        "4142:4344:4546:4748::1",
        "4142:4344:4546:4748:a:b:c:d",
        "4142:4344:4546:4749::1",
        "65.66.67.68",
    )
    location = "    location / {\n"
    header = location + "        proxy_set_header X-Client $tailrace_client;\n"
    change = (
        location + "        proxy_pass",
        "    set_real_ip_from 127.0.0.1;\n    real_ip_header X-Test;\n" + header + "        proxy_pass",
    )
    async with standing("nginx", tmp_path, echo.port, change) as site, client(site) as session:
        for address in addresses:
            async with session.get("/", headers={"X-Test": address}) as response:
                assert response.status == 200, await response.text()
    assert [got["x-client"] for got in echo.requests] == ["ABCDEFGH", "ABCDEFGH", "ABCDEFGI", "ABCD"]
