"""The Host allow-list and the origin check: no other site makes the server act."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import serve
from tests.web.stage import Stage, problem

STREAMS = "/api/sessions/s1/streams"


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1234", "127.0.0.1", "127.0.0.1:99", "[::1]", "[::1]:8080", "localhost."]
)
async def test_loopback_names_are_answered(stage: Stage, host: str) -> None:
    """Whatever the port: a forwarded one is another than ours."""
    async with stage.http.get("/healthz", headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[::1",
        "a@b:c:d",
        "é",
    ],
)
async def test_other_names_are_turned_down(stage: Stage, host: str) -> None:
    """421 for pages and data alike: a name that points here by DNS rebinding reads nothing."""
    for path in ("/", "/api/sessions", "/healthz", "/static/main.js"):
        async with stage.http.get(path, headers={"Host": host}) as response:
            await problem(response, 421, "host_not_allowed")


async def test_further_names_can_be_allowed(tmp_path: Path) -> None:
    """Those of the setting, without regard to case and port."""
    async with serve(tmp_path, allowed_hosts=("Chat.Example",)) as live:
        for host, status in (("chat.example", 200), ("CHAT.example:8443", 200), ("x.chat.example", 421)):
            async with live.client.http.get("/healthz", headers={"Host": host}) as response:
                assert response.status == status


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
        {},
    ],
)
async def test_own_pages_and_programs_may_act(stage: Stage, headers: dict[str, str]) -> None:
    """A program sends neither header."""
    sent = {"Host": "localhost:8080", **headers}
    async with stage.http.post(STREAMS, json={"prompt": "x"}, headers=sent) as response:
        assert response.status == 201


async def test_other_sites_may_link_here(stage: Stage) -> None:
    """Reading is not acting: a link from elsewhere opens the page."""
    async with stage.http.get("/", headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 200


async def test_no_other_site_may_read(stage: Stage) -> None:
    """No answer invites another origin: there is no CORS header, on a preflight neither."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for method in ("GET", "OPTIONS"):
        async with stage.http.request(method, "/api/sessions", headers=headers) as response:
            assert not [name for name in response.headers if name.lower().startswith("access-control-")]
