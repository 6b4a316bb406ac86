"""Headers: what every answer carries, and what a stream of events needs to pass proxies unharmed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from multidict import CIMultiDict
from structlog.testing import capture_logs

from app.web import problems
from tests.web.stage import NDJSON, SSE, Stage, on_stage

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types blocks"
)


def assert_hardened(headers: Mapping[str, str]) -> None:
    """Check the headers that every answer has."""
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Server"] == "Tailrace"
    assert not [name for name in headers if name.lower().startswith("access-control-")]


async def test_every_route_has_them(stage: Stage) -> None:
    """Each method of each address, of what there is and of what there is not: pages, files, data, events, problems."""
    registered = await stage.client.post("s1", "hello")
    known = {"session_id": "s1", "stream_id": registered["stream_id"], "path": "main.js", "image_id": "i"}
    asked = 0
    for route in stage.live.app.router.routes():
        assert route.resource is not None
        for names in (known, dict.fromkeys(known, "nobody")):
            path = re.sub(r"{(\w+)}", lambda found, names=names: names[found[1]], route.resource.canonical)  # type: ignore[misc]
            async with stage.http.request(route.method, path, allow_redirects=False) as response:
                assert_hardened(response.headers)
                asked += 1
    assert asked > 100


async def test_every_kind_of_answer_has_them(stage: Stage) -> None:
    """Redirects, `304`, `204`, HEAD, and each refusal of ours and of aiohttp's."""
    address = "/static/main.js"
    async with stage.http.get(address) as response:
        etag = response.headers["ETag"]
    cases: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", address, {"If-None-Match": etag}, 304),
        ("HEAD", "/", {}, 200),
        ("HEAD", "/nothing", {}, 404),
        ("GET", "/sessions/s1/", {}, 308),
        ("GET", "/nothing", {"Accept": "text/html"}, 404),
        ("GET", "/%00%ff", {}, 404),
        ("PUT", "/api/sessions", {}, 405),
        ("BREW", "/", {}, 400),
        ("OPTIONS", "/", {}, 405),
        ("OPTIONS", "*", {}, 404),
        ("POST", "/api/sessions/s1/streams", {"Content-Type": "text/plain"}, 415),
        ("POST", "/api/sessions/s1/streams", {"Content-Type": "application/json"}, 400),
        ("DELETE", "/api/sessions/s1/stream", {}, 404),
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("POST", "/logout", {"Origin": "https://evil.example"}, 403),
        ("GET", "/", {"Expect": "the-unexpected"}, 417),
    ]
    for method, path, headers, status in cases:
        async with stage.http.request(method, path, headers=headers, allow_redirects=False) as response:
            assert response.status == status, (method, path, headers)
            assert_hardened(response.headers)


async def test_an_error_of_the_server_has_them(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes so late that aiohttp answers it; nothing of it is shown."""

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(stage.registry, "overview", fail)
    with capture_logs() as lines:
        for _ in range(2):
            async with stage.http.get("/ops") as response:
                assert response.status == 500
                assert_hardened(response.headers)
                assert "secret" not in await response.text()
            monkeypatch.setattr(problems, "respond", fail)
    assert (lines[0]["event"], lines[0]["owner"], lines[0]["address"]) == (
        "request_failed",
        "local",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /<script>alert(1)</script> HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET http://[bad/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/sessions/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /api/sessions/s1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n<script>\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40,
    ],
)
async def test_malformed_requests_have_them(stage: Stage, sent: bytes) -> None:
    """They never reach the application; what was sent is not echoed."""
    host, port = stage.client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    assert status.split()[1] in ("400", "404")
    assert_hardened(CIMultiDict(line.split(": ", 1) for line in lines))  # type: ignore[misc]
    assert b"<script>" not in body


@pytest.mark.parametrize(
    ("host", "proto", "heeded"),
    [
        ("localhost:8080", None, True),
        ("127.0.0.1", None, True),
        ("[::1]:8080", None, True),
        ("192.168.1.7:8080", None, False),
        ("chat.example", "http", False),
        ("chat.example", "https", True),
    ],
)
async def test_openers_are_kept_away_where_browsers_heed_it(
    tmp_path: Path, host: str, proto: str | None, heeded: bool
) -> None:
    """To a plain address in the local network they would complain of that header on every page."""
    headers = {"Host": host, "Accept": "text/html"} | ({"X-Forwarded-Proto": proto} if proto else {})
    async with on_stage(tmp_path, allowed_hosts=["192.168.1.7", "chat.example"]) as stage:
        for path in ("/", "/nothing"):
            async with stage.http.get(path, headers=headers) as response:
                assert response.status in (200, 404)
                expected = "same-origin" if heeded else None
                assert response.headers.get("Cross-Origin-Opener-Policy") == expected


async def test_the_headers_of_a_stream(stage: Stage) -> None:
    """No proxy may store, change, hold back or compress it: of both GETs and both kinds of POST."""
    registered = await stage.client.post("s1", "hello")
    coded = {"Accept-Encoding": "gzip, deflate, br"}
    asked = [
        ("GET", registered["events_url"], coded, 200),
        ("GET", "/api/sessions/s1/events", coded, 200),
        ("POST", "/api/sessions/s2/streams", {**coded, "Accept": SSE}, 201),
        ("POST", "/api/sessions/s2/streams", {**coded, "Accept": NDJSON}, 201),
    ]
    for method, path, headers, status in asked:
        body = {"prompt": "hello"} if method == "POST" else None
        async with stage.http.request(method, path, json=body, headers=headers) as response:
            assert (response.status, response.content_type) == (status, headers.get("Accept", SSE))
            assert response.headers["Cache-Control"] == "no-store, no-transform"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in response.headers
            assert "Content-Length" not in response.headers


@pytest.mark.parametrize(
    "path", ["/", "/sessions/s1", "/api/sessions/s1", "/api/sessions", "/nothing", "/api/models"]
)
async def test_nothing_of_a_conversation_is_stored(stage: Stage, path: str) -> None:
    """Neither by a proxy nor by the browser's cache."""
    await stage.client.post("s1", "hello")
    async with stage.http.get(path) as response:
        assert "no-store" in response.headers["Cache-Control"]


async def test_a_page_has_nothing_inline(stage: Stage) -> None:
    """No inline script, style or handler, which the policy would refuse anyway."""
    await stage.answer("s1", "<script>alert(1)</script>", '<img src=x onerror="alert(1)">')
    for path in ("/", "/sessions/s1", "/login", "/nothing"):
        async with stage.http.get(path, headers={"Accept": "text/html"}, allow_redirects=False) as response:
            page = (await response.text()).lower()
        assert "<style" not in page
        assert " style=" not in page
        assert "<script>" not in page
        assert "<img" not in page
        assert not re.findall(r"<[^>]*\son\w+\s*=", page)
