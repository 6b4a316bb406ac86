"""Other origins that the operator lists may call the API from their pages; nothing else is opened by that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.stage import Stage, on_stage

APP = "https://app.example.org"
# What a browser sends along with a request of a page of another site.
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FRAME = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
ASKS = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server that lists one origin, for the API and for frames."""
    async with on_stage(tmp_path, allowed_origins=(APP,), frame_ancestors=(APP,)) as stage:
        yield stage


async def test_a_listed_origin_may_ask_first(opened: Stage) -> None:
    """The preflight is answered without a token; it names the methods and the headers of the API."""
    path = "/api/sessions/s1/streams"
    headers = {"Origin": APP, **CROSS, **ASKS, "Access-Control-Request-Private-Network": "true"}
    async with opened.http.options(path, headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == APP
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Access-Control-Allow-Private-Network"] == "true"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        allowed = response.headers["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= set(
            allowed.split(", ")
        )
        assert response.headers["Vary"] == "Origin"


async def test_a_listed_origin_may_ask_and_read(opened: Stage) -> None:
    """Also a refusal, so that its page can tell why."""
    headers = {"Origin": APP, **CROSS}
    for body, status in (({"prompt": "hello"}, 201), ({"prompt": ""}, 422)):
        async with opened.http.post("/api/sessions/s1/streams", json=body, headers=headers) as response:
            assert response.status == status
            assert response.headers["Access-Control-Allow-Origin"] == APP
            assert "Location" in response.headers["Access-Control-Expose-Headers"]
    async with opened.http.get("/api/sessions/s1/events", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://evil.example.org",
        "null",
        "https://app.example.org.evil.org",
    ],
)
async def test_any_other_origin_stays_out(opened: Stage, origin: str) -> None:
    """Its preflight and its requests are refused, and their answers cannot be read."""
    headers = {"Origin": origin, **CROSS}
    path = "/api/sessions/s1/streams"
    async with opened.http.options(path, headers=headers | ASKS) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"
    async with opened.http.post(path, json={"prompt": "hello"}, headers=headers) as response:
        assert response.status == 403
    assert opened.puppet.generations == []


@pytest.mark.parametrize(
    "path", ["/", "/sessions/s1", "/events", "/metrics", "/ops/events", "/static/style.css"]
)
async def test_pages_are_not_opened(opened: Stage, path: str) -> None:
    """Only the API is: a listed origin reads no page of ours."""
    async with opened.http.get(path, headers={"Origin": APP, **CROSS}) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("module", ["client.js", "element.js"])
async def test_the_client_may_be_imported(opened: Stage, module: str) -> None:
    """By a listed origin, as modules are: with CORS. By no other."""
    headers = CROSS | {"Sec-Fetch-Dest": "script"}
    async with opened.http.get(f"/static/{module}", headers={"Origin": APP, **headers}) as response:
        assert (response.status, response.content_type) == (200, "text/javascript")
        assert response.headers["Access-Control-Allow-Origin"] == APP
    foreign = {"Origin": "https://evil.example.org", **headers}
    async with opened.http.get(f"/static/{module}", headers=foreign) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_listed_origin_may_frame_a_page(opened: Stage) -> None:
    """The browser decides by the policy, in which only that origin stands."""
    async with opened.http.get("/", headers=FRAME) as response:
        assert response.status == 200
        assert f"frame-ancestors 'self' {APP};" in response.headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in response.headers
    async with opened.http.get("/", headers=FRAME | {"Sec-Fetch-Dest": "embed"}) as response:
        assert response.status == 403


async def test_nothing_is_opened_by_default(stage: Stage) -> None:
    """Neither the API nor a frame."""
    async with stage.http.options("/api/models", headers={"Origin": APP, **CROSS, **ASKS}) as response:
        assert response.status == 403
    async with stage.http.get("/", headers=FRAME) as response:
        assert response.status == 403
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Frame-Options"] == "DENY"
