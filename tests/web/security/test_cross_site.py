"""Reads of other sites are refused before any work, so that their timing tells nothing. Links open pages."""

from __future__ import annotations

import pytest

from app.history.sql import SqlHistory
from tests.web.stage import Stage, problem

LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
READS = [
    "/",
    "/sessions/s1",
    "/sessions/s1/snapshot",
    "/api/sessions",
    "/api/sessions?q=secret",
    "/?q=secret",
    "/api/sessions/s1",
    "/api/sessions/s1/export",
    "/api/sessions/s1/events",
    "/events?s=s1",
    "/api/models",
    "/api/images/nobody",
    "/metrics",
    "/ops",
    "/ops/events",
    "/login",
    "/static/main.js",
    "/static/favicon.svg",
    "/api/openapi.json",
    "/nothing",
]


def of(site: str, mode: str, destination: str, **more: str) -> dict[str, str]:
    """Return the headers of a browser."""
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination, **more}


FOREIGN = [
    of("cross-site", "no-cors", "image"),
    of("cross-site", "no-cors", "script"),
    of("cross-site", "no-cors", "style"),
    of("cross-site", "no-cors", "audio"),
    of("cross-site", "no-cors", "empty", Accept="text/html"),
    of("cross-site", "cors", "empty", Origin="https://evil.example"),
    of("cross-site", "cors", "empty", Origin="null"),
    of("cross-site", "navigate", "iframe"),
    of("cross-site", "navigate", "frame"),
    of("cross-site", "navigate", "embed"),
    of("cross-site", "navigate", "object"),
    of("cross-site", "navigate", "fencedframe"),
    of("cross-site", "navigate", "empty"),
    of("cross-site", "no-cors", "document"),
    of("cross-site", "websocket", "empty"),
    of("same-site", "no-cors", "image"),
    of("same-site", "cors", "empty", Origin="http://localhost:1"),
    of("same-site", "navigate", "iframe"),
    {**LINK, "Sec-Purpose": "prefetch"},
    {**LINK, "Sec-Purpose": "prefetch;prerender"},
    {**LINK, "Purpose": "prefetch"},
    {**LINK, "X-Moz": "prefetch"},
    of("cross-site", "no-cors", "empty", **{"Sec-Purpose": "prefetch"}),
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_other_sites_read_nothing(
    stage: Stage, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """403 for every read, and the history is not asked: what is in it makes no difference to how long that takes."""
    await stage.answer("s1", "secret", "secret")
    asked: list[str] = []

    def watch(name: str) -> None:
        real = getattr(SqlHistory, name)

        def method(*arguments: object, **named: object) -> object:
            asked.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(SqlHistory, name, method)

    for name in vars(SqlHistory):
        if not name.startswith("_") and callable(getattr(SqlHistory, name)) and name != "load":
            watch(name)
    for path in READS:
        for method in ("GET", "HEAD", "OPTIONS"):
            async with stage.http.request(method, path, headers=headers) as response:
                assert response.status == 403, (method, path)
                assert response.headers["Cache-Control"] == "no-store"
                if method == "GET" and "Accept" not in headers:
                    await problem(response, 403, "foreign_origin")
    assert asked == []
    async with stage.http.get("/api/sessions?q=secret") as response:
        assert len((await response.json())["sessions"]) == 1
    assert asked != [], "the same question of an own page does ask it"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
async def test_a_link_from_anywhere_opens_a_page(stage: Stage, site: str) -> None:
    """As a top-level navigation, of GET and HEAD; a form of another site still changes nothing."""
    await stage.answer("s1", "hello", "Hi")
    headers = {**LINK, "Sec-Fetch-Site": site, "Accept": "text/html"}
    for path in ("/", "/sessions/s1", "/models", "/api/sessions/s1/export"):
        async with stage.http.get(path, headers=headers) as response:
            assert response.status == 200
    if site in ("cross-site", "same-site"):
        async with stage.http.post("/sessions/s1/delete", headers=headers) as response:
            assert response.status == 403


async def test_own_pages_and_programs_read(stage: Stage) -> None:
    """Scripts, images, workers and event streams of our own page; programs, which send none of these headers."""
    for headers in (
        {},
        of("same-origin", "cors", "empty"),
        of("same-origin", "no-cors", "image"),
        of("same-origin", "same-origin", "sharedworker"),
        of("none", "navigate", "document"),
        {"Origin": stage.live.url},
    ):
        for path in ("/", "/api/sessions", "/static/main.js"):
            async with stage.http.get(path, headers=headers) as response:
                assert response.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/servez"])
async def test_health_is_told_to_every_site(stage: Stage, path: str) -> None:
    """It is the same for everybody, and tells nothing of a chat."""
    async with stage.http.get(path, headers=of("cross-site", "no-cors", "image")) as response:
        assert response.status == 200
