"""The access token: once set, every request needs it, as a bearer token or through the login page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.support.client import Client
from tests.support.server import LiveServer, serve
from tests.web.stage import problem

TOKEN = "a-very-secret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with an access token; its client brings none."""
    async with serve(tmp_path, access_token=TOKEN) as live:
        yield live


def login(
    client: Client, token: str, target: str = "/"
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Send the login form."""
    return client.http.post(
        "/login", data={"token": token, "next": target}, headers=HTML, allow_redirects=False
    )


async def cookie(client: Client) -> str:
    """Log in; return the cookie as a header has it."""
    async with login(client, TOKEN) as response:
        assert response.status == 303
        return response.headers["Set-Cookie"].split(";")[0]


@pytest.mark.parametrize(
    "path",
    ["/", "/sessions/s1", "/api/sessions", "/api/models", "/api/openapi.json", "/metrics", "/ops", "/ops/events",
     "/loginx",
     "/staticx", "/healthz/x",
     "/api/streams/x/events", "/nothing"],
)  # fmt: skip
async def test_every_request_needs_it(locked: LiveServer, path: str) -> None:
    """401 for programs, with the scheme that it wants; for everything but the login page and its files."""
    for headers in (
        {},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Cookie": "tailrace_access=x"},
    ):
        async with locked.client.http.get(path, headers=headers) as response:
            await problem(response, 401, "access_token_required")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_acting_needs_it_too(locked: LiveServer) -> None:
    """A POST without it registers nothing."""
    assert (await locked.client.post("s1", "hello"))["http"] == 401
    assert locked.registry.statistics().started == 0


async def test_a_bearer_token_lets_in(locked: LiveServer) -> None:
    """The scheme's name is not case-sensitive."""
    for scheme in ("Bearer", "bearer"):
        async with locked.client.http.get(
            "/api/sessions", headers={"Authorization": f"{scheme} {TOKEN}"}
        ) as response:
            assert response.status == 200
    async with Client(locked.url, BEARER) as client:
        assert (await client.ask("s1", "hello", model="scripted/short"))[-1].data["outcome"] == "complete"


async def test_a_browser_is_sent_to_the_login_page(locked: LiveServer) -> None:
    """303 to the page, which knows where to go on; the page and its files are open."""
    async with locked.client.http.get(
        "/sessions/s1?x=1&y=2", headers=HTML, allow_redirects=False
    ) as response:
        assert response.status == 303
        location = URL(response.headers["Location"])
    assert (location.path, dict(location.query)) == ("/login", {"next": "/sessions/s1?x=1&y=2"})
    async with locked.client.http.get(location, headers=HTML) as page:
        assert page.status == 200
        assert 'value="/sessions/s1?x=1&amp;y=2"' in await page.text()
    async with locked.client.http.get("/static/style.css") as file:
        assert file.status == 200


async def test_a_login_sets_a_cookie_that_lets_in(locked: LiveServer) -> None:
    """303 to where the visitor wanted to go; the cookie is HttpOnly and SameSite=Lax."""
    async with login(locked.client, f" {TOKEN} ", "/sessions/s1") as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
        attributes = {part.strip().lower() for part in response.headers["Set-Cookie"].split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes
    assert TOKEN not in response.headers["Set-Cookie"]
    header = {"Cookie": response.headers["Set-Cookie"].split(";")[0]}
    async with locked.client.http.get("/api/sessions", headers=header) as response:
        assert response.status == 200
    async with locked.client.http.get("/login?next=/x", headers=header, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/x")


@pytest.mark.parametrize(
    ("told", "is_secure"),
    [
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "HTTPS"}, True),
        ({"X-Forwarded-Proto": "https, http"}, True),
        ({"X-Forwarded-Proto": " https,http"}, True),
        ({"Forwarded": 'for="[::1]";proto=HTTPS, proto=http'}, True),
        ({"X-Forwarded-Proto": "http, https"}, False),
        ({"X-Forwarded-Proto": "httpsx"}, False),
        ({"X-Forwarded-Proto": ""}, False),
    ],
)
async def test_behind_https_the_cookie_is_secure(
    locked: LiveServer, told: dict[str, str], is_secure: bool
) -> None:
    """As the proxies in front tell; the first of them is the one that the browser talks to."""
    async with locked.client.http.post(
        "/login", data={"token": TOKEN}, headers=told, allow_redirects=False
    ) as response:
        assert ("secure" in response.headers["Set-Cookie"].lower()) is is_secure


async def test_a_login_sends_nobody_elsewhere(locked: LiveServer) -> None:
    """Only a path of this server is gone on to."""
    for target in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:x",
        "",
        "/a\r\nb",
    ):
        async with login(locked.client, TOKEN, target) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")


async def test_a_cookie_does_not_outlive_its_token(tmp_path: Path) -> None:
    """It survives a restart of the server, and is void under another token."""
    async with serve(tmp_path, access_token=TOKEN) as live:
        header = {"Cookie": await cookie(live.client)}
    for token, status in ((TOKEN, 200), ("another-secret-token", 401)):
        async with (
            serve(tmp_path, access_token=token) as live,
            live.client.http.get("/api/sessions", headers=header) as response,
        ):
            assert response.status == status


async def test_a_forged_cookie_is_refused(locked: LiveServer) -> None:
    """Every change of it."""
    name, _, value = (await cookie(locked.client)).partition("=")
    for forged in (value[:-1], value[:-2] + "AA", "X" + value, value.swapcase(), ""):
        async with locked.client.http.get(
            "/api/sessions", headers={"Cookie": f"{name}={forged}"}
        ) as response:
            assert response.status == 401


async def test_guesses_are_throttled(locked: LiveServer) -> None:
    """Ten wrong ones a minute; then 429 with `Retry-After`, for the page too, but never for the right token."""
    statuses = []
    for number in range(12):
        if number % 2:
            async with login(locked.client, f"guess {number}") as response:
                statuses.append(response.status)
                assert ("Retry-After" in response.headers) is (response.status == 429)
        else:
            headers = {"Authorization": f"Bearer guess-{number}"}
            async with locked.client.http.get("/api/sessions", headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [401, 403] * 5 + [429, 429]
    async with locked.client.http.get("/api/sessions", headers=BEARER) as response:
        assert response.status == 200
    async with login(locked.client, TOKEN) as response:
        assert response.status == 303


async def test_who_is_in_stays_in_while_others_guess(locked: LiveServer) -> None:
    """The cookie is not a guess."""
    header = {"Cookie": await cookie(locked.client)}
    for number in range(11):
        async with login(locked.client, f"guess {number}"):
            pass
    async with locked.client.http.get("/api/sessions", headers=header) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "line", [b"Authorization: Bearer \xff\xfe", b"Cookie: tailrace_access=\xff.\xfe.\xff"]
)
async def test_bytes_that_are_no_text_are_a_wrong_token(locked: LiveServer, line: bytes) -> None:
    """401, and no error in the server."""
    host, port = locked.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/sessions HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_the_open_paths_open_nothing_else(locked: LiveServer) -> None:
    """No way of writing a path leads around the check."""
    for path in (
        "/static/../api/sessions",
        "/static/%2e%2e/api/sessions",
        "/login/../api/sessions",
        "//api/sessions",
    ):
        async with locked.client.http.get(URL(locked.url + path, encoded=True)) as response:
            assert response.status in (401, 403, 404)
            assert "sessions" not in (await response.text())


async def test_signing_out_removes_the_cookie(locked: LiveServer) -> None:
    """By a form that is on every page of a chat, and by nothing that another site could send."""
    header = {"Cookie": await cookie(locked.client)}
    async with locked.client.http.get("/", headers={**HTML, **header}) as response:
        assert '<form method="post" action="/logout">' in await response.text()
    async with locked.client.http.post(
        "/logout", headers={**HTML, **header}, allow_redirects=False
    ) as response:
        assert (response.status, response.headers["Location"]) == (303, "/login")
        sent = response.headers["Set-Cookie"].lower()
        assert 'tailrace_access="";' in sent
        for attribute in ("max-age=0", "path=/", "httponly", "samesite=lax"):
            assert attribute in sent
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        async with locked.client.http.post("/logout", headers={**header, **headers}) as response:
            await problem(response, 403, "foreign_origin")
    async with locked.client.http.get("/api/sessions", headers=header) as response:
        assert response.status == 401, "a copy of the cookie is void"
    header = {"Cookie": await cookie(locked.client)}
    async with locked.client.http.get("/logout", headers={**HTML, **header}) as response:
        assert response.status == 405
    async with locked.client.http.post("/logout", allow_redirects=False) as response:
        assert response.status == 303, "who is signed out already may press the button as well"


async def test_without_a_token_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    """The login page sends straight on, and a bearer token is not looked at."""
    async with serve(tmp_path) as live:
        async with live.client.http.get("/login?next=/x", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/x")
        async with live.client.http.get("/api/sessions", headers={"Authorization": "Bearer x"}) as response:
            assert response.status == 200
        async with login(live.client, "anything") as response:
            assert response.status == 303
        async with live.client.http.get("/", headers=HTML) as response:
            assert "/logout" not in await response.text()
