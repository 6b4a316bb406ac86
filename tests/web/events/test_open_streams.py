"""Open event streams of one owner are bounded, wherever they come from; others are served."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.web.app_keys import OPEN_STREAMS
from app.web.events import open_streams, push
from app.web.events.open_streams import MOST_UNREAD, OpenStreams
from tests.support.tokens import add, bearer, known
from tests.support.waiting import until
from tests.web.stage import JSON, NDJSON, SSE, Stage, on_stage, problem

PATHS = ("/api/sessions/s1/events", "/api/sessions/later/events", "/events?watch=s1&watch=more:new")
PROXIED: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "auth": "tokens"}


async def begun(stage: Stage, headers: dict[str, str]) -> None:
    """Let an answer begin in `s1` that does not end by itself."""
    async with stage.http.post(
        "/api/sessions/s1/streams", json={"prompt": "begin"}, headers=headers
    ) as response:
        assert response.status == 201
    (await stage.asked("begin")).say("so far")


async def refused(response: aiohttp.ClientResponse) -> None:
    """Check that a response says that there are too many."""
    body = await problem(response, 429, "owner_event_streams")
    assert body["detail"].startswith("You have too many event streams open; the limit is 3.")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.slow
async def test_an_owner_has_so_many(tmp_path: Path) -> None:
    """Of all kinds together, from any address. Once one is closed, another one is served."""
    async with (
        on_stage(tmp_path, owner_event_streams=len(PATHS), **PROXIED) as stage,
        AsyncExitStack() as stack,
    ):
        alice, bob = bearer(await add(tmp_path, "alice")), bearer(await add(tmp_path, "bob"))
        await known(stage.client, bob)
        await begun(stage, alice)
        opened = []
        for number, path in enumerate(PATHS):
            headers = {**alice, "Accept": SSE, "X-Forwarded-For": f"203.0.113.{number}"}
            opened.append(await stack.enter_async_context(stage.http.get(path, headers=headers)))
            assert opened[-1].status == 200
        for path in PATHS:
            async with stage.http.get(path, headers={**alice, "Accept": SSE}) as response:
                await refused(response)
        for accept in (SSE, NDJSON):
            asked = {**alice, "Accept": accept}
            async with stage.http.post(
                "/api/sessions/s2/streams", json={"prompt": "no"}, headers=asked
            ) as response:
                await refused(response)
        async with stage.http.get("/api/sessions/s2", headers=alice) as response:
            await problem(response, 404, "session_not_found")
        async with stage.http.get("/api/sessions/s9/events", headers={**bob, "Accept": SSE}) as response:
            assert response.status == 200
        async with stage.http.get("/api/sessions", headers=alice) as response:
            assert response.status == 200, "what is no event stream is served"
        opened[0].close()
        await until(lambda: stage.live.app[OPEN_STREAMS].total == 2)
        async with stage.http.get(PATHS[0], headers={**alice, "Accept": SSE}) as response:
            assert response.status == 200
    assert stage.live.app[OPEN_STREAMS].total == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "You have too many event streams open; the limit is 1."),
        ("de", "Sie haben zu viele Ereignisströme offen. Schließen Sie"),
    ],
)
async def test_a_page_says_so(tmp_path: Path, language: str, sentence: str) -> None:
    """That of a browser without JavaScript is an event stream itself, while an answer is in progress."""
    async with on_stage(tmp_path, owner_event_streams=1, **PROXIED) as stage:
        alice = bearer(await add(tmp_path, "alice"))
        await known(stage.client, alice)
        await begun(stage, alice)
        html = {**alice, "Accept": "text/html", "Accept-Language": language, "Cookie": "tailrace_plain=1"}
        async with (
            stage.http.get(PATHS[0], headers={**alice, "Accept": SSE}),
            stage.http.get("/sessions/s1", headers=html) as page,
        ):
            assert (page.status, page.content_type) == (429, "text/html")
            assert sentence in await page.text()


async def test_a_page_of_all_who_have_no_limits(tmp_path: Path) -> None:
    """The owner `local` has no limits of fair use."""
    async with on_stage(tmp_path, owner_event_streams=1) as stage, AsyncExitStack() as stack:
        for _ in range(3):
            response = await stack.enter_async_context(stage.http.get(PATHS[1], headers={"Accept": SSE}))
            assert response.status == 200


@pytest.mark.slow
async def test_what_is_allowed_by_default(tmp_path: Path) -> None:
    """128, and the next one is told."""
    async with on_stage(tmp_path, **PROXIED) as stage, AsyncExitStack() as stack:
        alice = bearer(await add(tmp_path, "alice"))
        await known(stage.client, alice)
        for _ in range(128):
            response = await stack.enter_async_context(stage.http.get(PATHS[1], headers=alice))
            assert response.status == 200
        async with stage.http.get(PATHS[1], headers={**alice, "Accept": JSON}) as response:
            await problem(response, 429, "owner_event_streams")


class Held:
    """An event stream whose client has read nothing."""

    elsewhere = 0

    def __init__(self, unread: int) -> None:
        self.unread = unread
        self.is_cut = False

    def cut(self) -> None:
        """See `Open`."""
        self.is_cut = True


@pytest.mark.parametrize(("owner", "cut"), [("alice", [False, True, False]), ("local", [False] * 3)])
def test_what_nobody_reads_is_dropped(owner: str, cut: list[bool]) -> None:
    """Beyond the bound the streams with the most go, of this owner alone; who has no limits keeps all."""
    streams = OpenStreams(128)
    held = [Held(MOST_UNREAD // 4), Held(MOST_UNREAD // 2), Held(MOST_UNREAD // 4)]
    other = Held(MOST_UNREAD)
    with ExitStack() as stack:
        stack.enter_context(streams.counted("bob", other))
        for each in held:
            stack.enter_context(streams.counted(owner, each))
        streams.make_room(owner)
        assert not any(each.is_cut for each in held), "so much is allowed"
        held[0].unread += 1
        streams.make_room(owner)
        assert [each.is_cut for each in held] == cut
        assert not other.is_cut
    assert streams.total == 0


@pytest.mark.slow
async def test_what_is_written_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large piece of an answer makes the owner's streams be counted, and the client can go on from its cursor."""
    async with on_stage(tmp_path, **PROXIED) as stage:
        alice = bearer(await add(tmp_path, "alice"))
        await known(stage.client, alice)
        await begun(stage, alice)
        counted = stage.live.app[OPEN_STREAMS]
        async with stage.http.get("/api/sessions/s1/events", headers={**alice, "Accept": SSE}) as response:
            assert response.status == 200
            await response.content.readuntil(b"so far")
            monkeypatch.setattr(push, "MUCH", -1)  # as if the system had taken nothing
            monkeypatch.setattr(open_streams, "MOST_UNREAD", -1)
            assert counted.total == 1
            (await stage.asked("begin")).say("x" * 100_000)
            await until(lambda: counted.total == 0)
