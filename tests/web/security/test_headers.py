"""Headers: what every answer carries, and what a stream of events needs to pass proxies unharmed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.web.stage import NDJSON, SSE, Stage, on_stage

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types blocks"
)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sessions/s1",
        "/static/main.js",
        "/api/sessions/s1",
        "/nothing",
        "/sessions/nobody",
        "/metrics",
        "EVENTS",
    ],
)
async def test_every_answer_carries_the_policy(stage: Stage, path: str) -> None:
    """Pages, files, data, problems and streams of events alike."""
    registered = await stage.client.post("s1", "hello")
    async with stage.http.get(path.replace("EVENTS", registered["events_url"])) as response:
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


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
