"""Wrong tokens are counted and logged; nobody who has the right one is locked out by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from limits.storage import MemoryStorage
from structlog.testing import capture_logs

from app.web.security.guess_counts import ALL, EACH, GuessCounts
from app.web.security.refusals import ALL as MOST_LINES
from app.web.security.refusals import EACH as MOST_LINES_OF_ONE
from tests.support.server import LiveServer, serve
from tests.support.waiting import until
from tests.web.security.test_access import BEARER, HTML, TOKEN, cookie, login
from tests.web.stage import problem


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with an access token behind a trusted proxy, which the test's client is."""
    async with serve(tmp_path, access_token=TOKEN, trusted_proxies=("127.0.0.1",)) as live:
        yield live


async def guess(live: LiveServer, address: str, token: str = "guess-guess") -> int:
    """Send a wrong token from an address; return the status."""
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    async with live.client.http.get("/api/sessions", headers=headers) as response:
        if response.status == 429:
            assert 0 < int(response.headers["Retry-After"]) <= 60
            await problem(response, 429, "too_many_guesses")
        return response.status


async def test_ten_wrong_tokens_a_minute_of_one_client(locked: LiveServer) -> None:
    """And not of another one behind the same proxy."""
    assert [await guess(locked, "198.51.100.1") for _ in range(12)] == [401] * 10 + [429] * 2
    assert await guess(locked, "198.51.100.2") == 401


async def test_a_client_cannot_choose_what_it_is_counted_by(locked: LiveServer) -> None:
    """Neither by what it writes into the header itself, nor by one of the 2^64 addresses of its network."""
    claimed = [f"203.0.113.{number}, 198.51.100.1" for number in range(11)]
    assert [await guess(locked, address) for address in claimed] == [401] * 10 + [429]
    own = [f"2001:db8:1:2::{number}" for number in range(11)]
    assert [await guess(locked, address) for address in own] == [401] * 10 + [429]
    assert await guess(locked, "2001:db8:1:3::1") == 401


async def test_a_hundred_wrong_tokens_a_minute_of_all(locked: LiveServer) -> None:
    """From as many addresses as somebody has."""
    statuses = [await guess(locked, f"198.51.100.{number % 40}") for number in range(400)]
    assert statuses == [401] * 100 + [429] * 300


async def test_nobody_is_locked_out(locked: LiveServer) -> None:
    """With the right token, a valid cookie or a health check, while others guess from the same address."""
    inside = {"Cookie": await cookie(locked.client)}
    for number in range(120):
        await guess(locked, f"198.51.100.{number % 12}")
    here = {"X-Forwarded-For": "198.51.100.1"}
    for headers in (BEARER, inside, {**inside, "Authorization": "Bearer old-token"}):
        async with locked.client.http.get("/api/sessions", headers={**headers, **here}) as response:
            assert response.status == 200
    async with login(locked.client, TOKEN) as response:
        assert response.status == 303
    for path in ("/healthz", "/readyz", "/servez"):
        async with locked.client.http.get(path, headers=here) as response:
            assert response.status == 200


async def test_a_cookie_is_no_guess(locked: LiveServer) -> None:
    """Forged ones count for nothing; one beside a valid one, set by a page of a sibling domain, does no harm."""
    for number in range(30):
        headers = {"Cookie": f"tailrace_access=local.{number}.x"}
        async with locked.client.http.get("/api/sessions", headers=headers) as response:
            assert response.status == 401
    valid = await cookie(locked.client)
    for sent in (
        "tailrace_access=x; " * 180 + valid,
        f"tailrace_access={'x' * 60}; " * 90 + valid,
        f"{valid}; tailrace_access=x",
        f"a=1;{valid};tailrace_access=",
    ):
        async with locked.client.http.get("/api/sessions", headers={"Cookie": sent}) as response:
            assert response.status == 200
    async with login(locked.client, "wrong-token") as response:
        assert response.status == 403


async def test_the_login_page_says_that_there_were_too_many(locked: LiveServer) -> None:
    """403 for a wrong token, 429 after ten; the page stays a page."""
    for status in [403] * 10 + [429]:
        async with login(locked.client, "wrong-token") as response:
            assert (response.status, response.content_type) == (status, "text/html")
            text = await response.text()
            assert ("The right token is accepted at any time." in text) is (status == 429)
    async with locked.client.http.get("/login", headers=HTML) as page:
        assert page.status == 200


async def test_each_refusal_is_a_line(tmp_path: Path) -> None:
    """With the owner, if there is one, and the client's address."""
    with capture_logs() as lines:
        async with serve(tmp_path, access_token=TOKEN, trusted_proxies=("127.0.0.1",)) as live:
            await guess(live, "198.51.100.1")
            async with login(live.client, "wrong-token"):
                pass
            async with live.client.http.get("/api/sessions/s1", headers={"Host": "evil.example"}):
                pass
            async with live.client.http.post(
                "/api/sessions/import", headers={"Origin": "https://evil.example"}
            ):
                pass
            async with live.client.http.get("/api/sessions"):
                pass
    found = [line for line in lines if line["event"] == "request_refused"]
    assert [(line["code"], line["address"], line["path"], line["owner"]) for line in found] == [
        ("wrong_token", "198.51.100.1", "/api/sessions", None),
        ("wrong_token", "127.0.0.1", "/login", None),
        ("host_not_allowed", "127.0.0.1", "/api/sessions/s1", None),
        ("foreign_origin", "127.0.0.1", "/api/sessions/import", None),
        ("access_token_required", "127.0.0.1", "/api/sessions", None),
    ]
    assert TOKEN not in str(lines)
    assert "guess-guess" not in str(lines)


@pytest.mark.slow
async def test_a_flood_of_refusals_is_sampled(tmp_path: Path) -> None:
    """A bounded number of lines a second, with the count of the others; one client does not hide the next."""
    with capture_logs() as lines:
        async with serve(tmp_path, access_token=TOKEN, trusted_proxies=("127.0.0.1",)) as live:
            for number in range(300):
                await guess(live, "198.51.100.1" if number % 3 else f"198.51.101.{number // 3}")
            await until(lambda: any(line["event"] == "refusals_left_out" for line in lines))
            await guess(live, "198.51.100.2")
    shown = [line for line in lines if line["event"] == "request_refused"]
    seconds = sum(line["event"] == "refusals_left_out" for line in lines)
    assert (
        len(shown) + sum(line.get("count", 0) for line in lines if line["event"] == "refusals_left_out")
        == 301
    )
    assert len(shown) <= (seconds + 1) * MOST_LINES
    assert sum(line["address"] == "198.51.100.1" for line in shown) <= (seconds + 1) * MOST_LINES_OF_ONE
    assert any(line["address"].startswith("198.51.101.") for line in shown)


def test_counting_a_flood_keeps_nothing() -> None:
    """Once all clients together have guessed too often, a new address adds nothing."""
    storage = MemoryStorage()
    counts = GuessCounts(storage)
    for number in range(10_000):
        counts.add(f"2001:db8:{number:x}::/64")
    assert len(storage.storage) <= ALL.amount + 2
    assert counts.add("198.51.100.1") is not None
    one = GuessCounts()
    assert [one.add("198.51.100.1") is None for _ in range(12)] == [True] * EACH.amount + [False] * 2
