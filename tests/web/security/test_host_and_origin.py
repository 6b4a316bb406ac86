"""The Host allow-list and the origin check: no other site makes the server act."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.server import serve
from tests.web.stage import Stage, problem

STREAMS = "/api/sessions/s1/streams"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1234",
        "127.0.0.1",
        "127.0.0.1:99",
        "127.8.8.8",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]:8080",
        "[::ffff:127.0.0.1]",
        "localhost.",
        "chat.localhost:8080",
    ],
)
async def test_loopback_names_are_answered(stage: Stage, host: str) -> None:
    """Whatever the port: a forwarded one is another than ours."""
    async with stage.http.get("/api/sessions", headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost..",
        "notlocalhost",
        "localhost:port",
        "localhost:99999",
        "",
        "[::1",
        "a@b:c:d",
        "é",
    ],
)
async def test_other_names_are_turned_down(stage: Stage, host: str) -> None:
    """421 for pages and data alike: a name that points here by DNS rebinding reads nothing."""
    for path in ("/", "/api/sessions", "/metrics", "/static/main.js", "/nothing"):
        async with stage.http.get(path, headers={"Host": host}) as response:
            await problem(response, 421, "host_not_allowed")


async def test_further_names_can_be_allowed(tmp_path: Path) -> None:
    """Those of the setting, without regard to case; a port counts where the setting has one."""
    names = ("Chat.Example", "*.below.example", "my_host:8443", "bücher.example", "tls.example:443")
    async with serve(tmp_path, allowed_hosts=names) as live:
        for host, status in (
            ("chat.example", 200),
            ("CHAT.example:8443", 200),
            ("x.chat.example", 421),
            ("a.b.below.example:1", 200),
            ("below.example", 421),
            ("notbelow.example", 421),
            ("my_host:8443", 200),
            ("my_host", 421),
            ("xn--bcher-kva.example", 200),
            ("BÜCHER.example", 200),
            ("tls.example", 200),
            ("tls.example:444", 421),
        ):
            async with live.client.http.get("/api/sessions", headers={"Host": host}) as response:
                assert response.status == status, host


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/servez"])
async def test_health_is_told_to_every_host(tmp_path: Path, path: str) -> None:
    """A load balancer asks by an address of its own, and has no token. What it hears is the state alone."""
    async with serve(tmp_path, access_token="plum-9f3c71d2a8e4b605") as live:
        for host in ("10.0.0.7:8080", "evil.example", "a@b:c:d", ""):
            async with live.client.http.get(path, headers={"Host": host}) as response:
                assert response.status == 200
                assert (await response.json()).keys() == {"status"}
            async with live.client.http.head(path, headers={"Host": host}) as response:
                assert response.status == 200


async def test_a_refusal_says_what_to_set(stage: Stage) -> None:
    """The setting, the name that was asked for, and what a proxy has to pass on."""
    async with stage.http.get("/", headers={"Host": "tailrace"}) as response:
        detail = (await problem(response, 421, "host_not_allowed"))["detail"]
    for words in ("'tailrace'", "TAILRACE_ALLOWED_HOSTS", "proxy_set_header Host $http_host;"):
        assert words in detail
    headers = {"Host": "127.0.0.1:8080", "Origin": "http://chat.example"}
    async with stage.http.post(STREAMS, json={"prompt": "x"}, headers=headers) as response:
        detail = (await problem(response, 403, "foreign_origin"))["detail"]
    for words in ("127.0.0.1:8080", "http://chat.example", "TAILRACE_ALLOWED_HOSTS", "Host $http_host"):
        assert words in detail


@pytest.mark.parametrize(
    ("request_head", "words"),
    [
        (b"GET /api/sessions HTTP/1.0\r\n\r\n", "TAILRACE_ALLOWED_HOSTS"),
        (b"GET / HTTP/1.1\r\n\r\n", "TAILRACE_ALLOWED_HOSTS"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "TAILRACE_ALLOWED_HOSTS"),
        (
            b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "the name 'evil.example'. To allow a name, add it to TAILRACE_ALLOWED_HOSTS",
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "8190 bytes"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40, "plain HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
        (b"garbage\r\n\r\n", "not a valid HTTP request"),
    ],
)
async def test_what_cannot_be_read_is_answered_in_a_sentence(
    stage: Stage, request_head: bytes, words: str
) -> None:
    """Also where no application is reached: problem+json, and nothing quoted of what was sent."""
    host, port = stage.client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_head)
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.split()[1] in (b"400", b"421")
    assert b"application/problem+json" in head
    assert words in json.loads(body)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[bad"},
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:8080", "X-Forwarded-Proto": "https"},
        {"Origin": "https://localhost:8080", "X-Forwarded-Proto": "http"},
        {"Origin": "http://localhost:8080.evil.example"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost:8080"},
        {"Host": "localhost", "Origin": "https://localhost"},
        {"Host": "localhost:443", "Origin": "http://localhost:443"},
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin, cross-site"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
        {"Origin": "file://"},
    ],
)
async def test_other_sites_change_nothing(stage: Stage, headers: dict[str, str]) -> None:
    """403 for every method that acts, in JSON and as a form."""
    sent = {"Host": "localhost:8080", **headers}
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    for method, path in (
        ("POST", STREAMS),
        ("POST", "/sessions/s1/stop"),
        ("POST", "/login"),
        ("PATCH", "/api/sessions/s1"),
        ("DELETE", "/api/sessions/s1"),
        ("DELETE", "/api/sessions/s1/stream"),
        ("DELETE", registered["headers"]["Location"]),
    ):
        async with stage.http.request(method, path, data={"prompt": "x"}, headers=sent) as response:
            await problem(response, 403, "foreign_origin")
    assert not generation.aborted.is_set()
    assert len(stage.puppet.generations) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "HTTP://LOCALHOST:8080"},
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://localhost:8080", "X-Forwarded-Proto": "HTTPS"},
        {"Origin": "https://localhost:8080", "X-Forwarded-Proto": "https, http"},
        {"Origin": "https://localhost:8080", "Forwarded": "proto=https;host=x"},
        {"Host": "localhost", "Origin": "https://localhost", "X-Forwarded-Proto": "https"},
        {"Host": "localhost:443", "Origin": "https://LOCALHOST"},
        {"Host": "localhost.", "Origin": "http://localhost:80"},
        {"Host": "[0:0:0:0:0:0:0:1]:8080", "Origin": "http://[::1]:8080"},
        {"Origin": "https://chat.localhost", "X-Forwarded-Host": "chat.localhost, localhost:8080"},
        {},
    ],
)
async def test_own_pages_and_programs_may_act(stage: Stage, headers: dict[str, str]) -> None:
    """A program sends neither header."""
    sent = {"Host": "localhost:8080", **headers}
    async with stage.http.post(STREAMS, json={"prompt": "x"}, headers=sent) as response:
        assert response.status == 201


async def test_no_other_site_may_read(stage: Stage) -> None:
    """No answer invites another origin: there is no CORS header, on a preflight neither."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for method in ("GET", "OPTIONS"):
        async with stage.http.request(method, "/api/sessions", headers=headers) as response:
            assert not [name for name in response.headers if name.lower().startswith("access-control-")]
