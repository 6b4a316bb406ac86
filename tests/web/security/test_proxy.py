"""The mode `proxy`: a trusted proxy names the user, and each user has chats of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.server import LiveServer, serve
from tests.web.stage import problem, take

HEADER = "X-Forwarded-User"
SETTINGS: dict[str, Any] = {
    "auth": "proxy",
    "trusted_proxies": ("127.0.0.1",),
    "admins": ("root@example.org",),
}


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server that believes this machine; its client says nothing of a user."""
    async with serve(tmp_path, **SETTINGS) as live:
        yield live


def user(live: LiveServer, name: str) -> Client:
    """Return a client whose requests come through the proxy."""
    return Client(live.url, {HEADER: name})


async def test_two_owners_may_use_one_id(proxied: LiveServer) -> None:
    """Neither learns of the other: not by writing, reading, listing, deleting or restoring."""
    async with user(proxied, "alice") as alice, user(proxied, "bob@example.org") as bob:
        first = await alice.post("s1", "of alice", model="scripted/short")
        assert (first["http"], first["session_id"]) == (201, "s1")
        assert (await bob.get("/api/sessions/s1"))["http"] == 404
        second = await bob.post("s1", "of bob", model="scripted/short")
        assert (second["http"], second["session_id"]) == (201, "s1")
        for client, asked, stream, foreign in (
            (alice, "of alice", first["stream_id"], second["stream_id"]),
            (bob, "of bob", second["stream_id"], first["stream_id"]),
        ):
            await client.read_stream(stream)
            session = await client.get("/api/sessions/s1")
            assert (session["session_id"], session["messages"][0]["content"]) == ("s1", asked)
            assert (await client.get(f"/api/streams/{stream}"))["session_id"] == "s1"
            assert (await client.get(f"/api/streams/{foreign}"))["http"] == 404
            assert (await client.delete(f"/api/streams/{foreign}"))["http"] == 404
            listed = (await client.get("/api/sessions"))["sessions"]
            assert [each["session_id"] for each in listed] == ["s1"]
        assert (await alice.delete("/api/sessions/s1"))["http"] == 204
        assert (await bob.get("/api/sessions/s1"))["http"] == 200
        async with bob.http.post("/api/sessions/s1/restore") as response:
            await problem(response, 404, "nothing_to_restore")
        async with alice.http.post("/api/sessions/s1/restore") as response:
            assert (await response.json())["session_id"] == "s1"


@pytest.mark.slow
async def test_a_list_is_paged_by_bare_ids(proxied: LiveServer) -> None:
    """The cursor of the next page says nothing of the owner, and leads on."""
    async with user(proxied, "alice") as alice:
        for number in range(5):
            await alice.ask(f"s{number}", "hello", model="scripted/short")
        seen: list[str] = []
        after = ""
        while True:
            page = await alice.get(f"/api/sessions?limit=2{after}")
            seen += [each["session_id"] for each in page["sessions"]]
            if page["next"] is None:
                break
            assert "alice" not in page["next"]
            after = "&after=" + page["next"].replace("+", "%2B")
        assert seen == ["s4", "s3", "s2", "s1", "s0"]


@pytest.mark.parametrize(
    "name", ["", " ", "local", "a b", "a/b", "a,b", "é", "x" * 129, "bob\u00a0", "\u2003bob"]
)
async def test_a_name_that_cannot_be_used_is_refused(proxied: LiveServer, name: str) -> None:
    """401, with the header and what may be in it; `local` is the owner of the chats from before."""
    async with proxied.client.http.get("/api/sessions", headers={HEADER: name}) as response:
        told = await problem(response, 401, "no_proxy_user")
    assert HEADER in told["detail"]


async def test_a_request_without_a_user_is_refused(proxied: LiveServer) -> None:
    """Also one with two: the proxy must replace what a client sent, not add to it."""
    for headers in ([], [(HEADER, "alice"), (HEADER, "bob")]):
        async with proxied.client.http.get("/api/sessions", headers=headers) as response:
            await problem(response, 401, "no_proxy_user")
    async with proxied.client.http.get("/", headers={"Accept": "text/html"}, allow_redirects=False) as page:
        assert (page.status, page.content_type) == (401, "text/html")
    for path in ("/healthz", "/readyz", "/servez"):
        async with proxied.client.http.get(path) as response:
            assert response.status == 200


async def test_nobody_else_is_believed(tmp_path: Path) -> None:
    """The header of a peer that is not among the proxies counts for nothing."""
    async with serve(tmp_path, **{**SETTINGS, "trusted_proxies": ("192.0.2.1",)}) as live:
        for name in ("alice", "root@example.org"):
            async with live.client.http.get("/api/sessions", headers={HEADER: name}) as response:
                told = await problem(response, 401, "no_proxy_user")
            assert "proxy" in told["detail"]


async def test_another_header_can_be_named(tmp_path: Path) -> None:
    """Then the usual one counts for nothing."""
    async with serve(tmp_path, **SETTINGS, proxy_user_header="Remote-User") as live:
        for header, status in (("Remote-User", 200), (HEADER, 401)):
            async with live.client.http.get("/api/sessions", headers={header: "alice"}) as response:
                assert response.status == status


@pytest.mark.parametrize("path", ["/metrics", "/ops", "/ops/events", "/ops/", "/%6Fps", "/metrics/x"])
async def test_what_is_for_admins_does_not_exist_for_others(proxied: LiveServer, path: str) -> None:
    """404, like any address that does not exist, whatever the method."""
    async with user(proxied, "alice") as alice:
        for method in ("GET", "POST"):
            async with alice.http.request(method, path) as response:
                await problem(response, 404, "not_found")


@pytest.mark.slow
async def test_admins_see_what_is_theirs(proxied: LiveServer) -> None:
    """The figures, and the board with links to their own chats only."""
    async with user(proxied, "root@example.org") as root, user(proxied, "alice") as alice:
        await alice.ask("s1", "hello", model="scripted/short")
        await root.ask("s2", "hello", model="scripted/short")
        async with root.http.get("/metrics") as response:
            assert response.status == 200
        async with root.http.get("/ops", headers={"Accept": "text/html"}) as response:
            page = await response.text()
    assert '<a href="/sessions/s2"><code>s2</code></a>' in page
    assert "<code>alice/s1</code>" in page
    assert "/sessions/s1" not in page


@pytest.mark.slow
async def test_a_page_and_its_events_have_bare_ids(proxied: LiveServer) -> None:
    """Ids of events, `gone`, `reset` and the addresses in the page are those that the owner knows."""
    async with user(proxied, "alice") as alice:
        await alice.ask("s1", "hello", model="scripted/short")
        async with alice.http.get("/sessions/s1", headers={"Accept": "text/html"}) as response:
            page = await response.text()
        assert "alice" not in page
        snapshot = await alice.get("/sessions/s1/snapshot")
        assert snapshot["session_id"] == "s1"
        async with alice.events("/events?watch=s1:0-0&watch=s2:1-1") as events:
            first = {event.name: event.data for event in await take(events, 2)}
        assert first["reset"]["session_id"] == "s1"
        assert first["reset"]["snapshot_url"] == "/sessions/s1/snapshot"
        assert first["gone"]["session_id"] == "s2"
        async with alice.events(f"/events?watch=s1:{snapshot['cursor']}") as events:
            await alice.post("s1", "again", model="scripted/short")
            async for event in events:
                assert event.data.get("session_id", "s1") == "s1"
                assert event.id is None or event.id.startswith("s1/")
                if event.name == "end":
                    break
        async with alice.events("/api/sessions/s1/events", cursor="0-0") as events:
            assert (await anext(events)).data["snapshot_url"] == "/api/sessions/s1"


async def test_an_export_can_be_imported_by_another_owner(proxied: LiveServer) -> None:
    """It has bare ids, and the copy is the importer's own."""
    async with user(proxied, "alice") as alice, user(proxied, "bob") as bob:
        await alice.ask("s1", "hello", model="scripted/short")
        archive = await alice.get("/api/sessions/s1/export")
        del archive["http"]
        assert archive["session_id"] == "s1"
        async with bob.http.post("/api/sessions/import", json=archive) as response:
            assert response.status == 201
            imported = await response.json()
            assert response.headers["Location"] == f"/api/sessions/{imported['session_id']}"
        assert "/" not in imported["session_id"]
        assert (await bob.get(f"/api/sessions/{imported['session_id']}"))["http"] == 200
        assert (await alice.get(f"/api/sessions/{imported['session_id']}"))["http"] == 404


async def test_who_waits_for_a_session_hears_only_of_the_own(proxied: LiveServer) -> None:
    """Both wait for one id; each sees the prompt of its owner."""
    async with (
        user(proxied, "alice") as alice,
        user(proxied, "bob") as bob,
        alice.events("/api/sessions/s1/events") as of_alice,
        bob.events("/events?watch=s1:new") as of_bob,
    ):
        await alice.post("s1", "of alice", model="scripted/short")
        await bob.post("s1", "of bob", model="scripted/short")
        for events, asked in ((of_alice, "of alice"), (of_bob, "of bob")):
            async for event in events:
                if event.name == "start":
                    assert event.data["prompt"]["text"] == asked
                    break
