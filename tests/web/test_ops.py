"""The operations page: what it shows of a running server, and what it keeps to itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.chat.errors import UpstreamTruncated
from app.streams import overview
from app.streams.counters import LAST_ENDS
from app.web.app_keys import PAGE_PULSE
from app.web.ops import handlers
from app.web.page import templates
from tests.support.sse import Event, read_events
from tests.support.waiting import until
from tests.web.board_page import rows, section
from tests.web.stage import Stage, on_stage, problem, take

NOTHING = "\N{EN DASH}"  # in a cell without a value


async def page(stage: Stage, path: str = "/ops", **headers: str) -> str:
    """Return the page."""
    async with stage.http.get(path, headers={"Accept": "text/html", **headers}) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        return await response.text()


async def test_what_runs_and_who_waits_for_whom(stage: Stage) -> None:
    """With model, state, time, tokens and viewers; a waiting one names the stream before it."""
    first = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events("/api/sessions/s1/events") as events:
        generation.say("one ", "two ", "three ")
        await take(events, 4)
        second = await stage.client.post("s1", "more", if_active="enqueue")
        running, waiting = rows(section(await page(stage), "running"))
    assert (running["Chat"], running["Model"], running["State"]) == ("s1", "puppet/puppet", "Answering")
    assert (running["Tokens"], running["Viewers"], running["Waits for"]) == ("3", "1", NOTHING)
    assert re.fullmatch(r"\d+\.\d s", running["Time"])
    assert (waiting["State"], waiting["Tokens"]) == ("Waiting", "0")
    assert waiting["Waits for"] == first["stream_id"]
    assert f'id="stream-{first["stream_id"]}"' in await page(stage)
    await stage.client.delete("/api/sessions/s1/stream")
    await stage.client.read_stream(second["stream_id"])


async def test_what_ended_last(stage: Stage) -> None:
    """The latest first, with the outcome, the code of an error, and whether its connection is closed."""
    await stage.answer("s1", "hello", "Hi", " there")
    posted = await stage.client.post("s2", "hello")
    (await stage.opened(2)).fail(UpstreamTruncated("The secret text broke off."))
    await stage.client.read_stream(posted["stream_id"])
    html = await page(stage)
    failed, complete = rows(section(html, "ended"))
    assert (failed["Chat"], failed["Outcome"]) == ("s2", "Failed upstream_truncated")
    assert (failed["First token"], failed["Tokens"], failed["Connection"]) == (NOTHING, "0", "closed")
    assert (complete["Chat"], complete["Outcome"], complete["Tokens"]) == ("s1", "Complete", "2")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", complete["End (UTC)"])
    assert "Nothing is running." in section(html, "running")


async def test_it_shows_no_text_of_a_chat(stage: Stage) -> None:
    """No prompt, answer, title or message of a model server, on the page or in its events."""
    await stage.answer("s1", "secret prompt", "secret answer")
    await stage.client.post("s1", "another secret")
    (await stage.opened(2)).say("more secrets")
    posted = await stage.client.post("s2", "secret three")
    (await stage.opened(3)).fail(UpstreamTruncated("The secret text broke off."))
    await stage.client.read_stream(posted["stream_id"])
    assert "secret" not in await page(stage)
    async with stage.client.events("/ops/events") as events:
        assert "secret" not in (await anext(events)).data["html"]


async def test_backends_and_history(tmp_path: Path) -> None:
    """Which model servers respond, why one does not, and what is left to be written."""
    async with on_stage(tmp_path, ollama_url="http://127.0.0.1:9") as stage:
        await stage.client.get("/api/models")
        html = await page(stage)
        servers = {row["Name"]: row for row in rows(section(html, "backends"))}
        assert servers["puppet"]["State"] == "Available"
        assert servers["puppet"]["Models"] == "1"
        assert servers["ollama"]["State"] == "Unavailable"
        assert "isn&#39;t responding" in servers["ollama"]["Details"]
        assert "Writable" in section(html, "history")


async def test_it_speaks_german(stage: Stage) -> None:
    """As the rest does."""
    html = await page(stage, **{"Accept-Language": "de"})
    assert "<h1>Betrieb</h1>" in html
    assert "Nichts läuft." in html


async def test_without_scripts_it_reloads_itself(stage: Stage) -> None:
    """Unless the reader does not want that."""
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    assert refresh in await page(stage)
    assert refresh not in await page(stage, "/ops?reload=off")


async def test_no_other_page_links_to_it(stage: Stage) -> None:
    """Its address is in the documentation."""
    await stage.answer("s1", "hello", "Hi")
    for path in ("/", "/sessions/s1", "/models", "/login"):
        async with stage.http.get(path, headers={"Accept": "text/html"}) as response:
            assert "/ops" not in await response.text()


async def test_a_browser_is_asked_to_sign_in(tmp_path: Path) -> None:
    """With an access token the page is as closed as the chats are."""
    async with on_stage(tmp_path, access_token="plum-9f3c71d2a8e4b605") as stage:
        async with stage.http.get("/ops", headers={"Accept": "text/html"}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?next=/ops")
        async with stage.http.get("/ops/events") as response:
            await problem(response, 401, "access_token_required")


async def test_under_a_base_path(tmp_path: Path) -> None:
    """Every address on it is below that path."""
    async with on_stage(tmp_path, base_path="/chat") as stage:
        html = await page(stage, "/chat/ops")
        assert 'data-events="/chat/ops/events"' in html
        assert set(re.findall(r'(?:href|src)="(/[^"]*)"', html)) == {
            address
            for address in re.findall(r'(?:href|src)="(/[^"]*)"', html)
            if address.startswith("/chat/")
        }


def boards(events: list[Event]) -> list[str]:
    """Return the contents of the board events."""
    return [event.data["html"] for event in events if event.name == "board"]


async def test_the_events_follow_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first comes at once, the next when something has changed, and no cursor is moved by them."""
    monkeypatch.setattr(handlers, "EVERY", 0.0)
    async with on_stage(tmp_path, heartbeat=0.3) as stage, stage.client.events("/ops/events") as events:
        first = await anext(events)
        assert (first.name, first.id) == ("board", None)
        assert "Nothing is running." in first.data["html"]
        await stage.client.post("s1", "hello")
        html = ""
        while 'data-name="Chat"' not in html:
            (html,) = boards(await take(events, 1)) or [""]
        assert rows(section(html, "running"))[0]["Chat"] == "s1"


@pytest.mark.slow
async def test_nothing_new_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heartbeats pass while nothing changes: after the first board no other comes."""
    monkeypatch.setattr(handlers, "EVERY", 0.0)
    async with on_stage(tmp_path, heartbeat=0.3, database_url="memory:") as stage:
        await stage.client.get("/api/models")
        async with stage.client.events("/ops/events") as events:
            names = [event.name for event in await take(events, 3)]
    assert names == ["board", "heartbeat", "heartbeat"]


async def test_the_readers_are_limited(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 beyond the limit; whoever leaves makes room."""
    monkeypatch.setattr(handlers, "MOST_READERS", 1)
    async with stage.client.events("/ops/events") as events:
        await anext(events)
        async with stage.http.get("/ops/events") as response:
            await problem(response, 429, "too_many_waiting")
            assert int(response.headers["Retry-After"]) > 0
    await until(lambda: not stage.live.app[handlers.READERS])
    async with stage.client.events("/ops/events") as events:
        assert (await anext(events)).name == "board"
    await until(lambda: not stage.live.app[handlers.READERS])
    assert stage.live.app[PAGE_PULSE].listeners == 0


async def test_a_shutdown_ends_the_events_properly(tmp_path: Path) -> None:
    """They go on while answers finish, and say that the server is shutting down; then a `retry:` and a proper end."""
    async with aiohttp.ClientSession() as http:
        async with on_stage(tmp_path) as stage:
            response = await http.get(f"{stage.live.url}/ops/events")
            stage.registry.drain()
            async with stage.http.get("/ops", headers={"Accept": "text/html"}) as answer:
                assert "The server is shutting down" in await answer.text()
        text = (await response.read()).decode()
        assert re.search(r"retry: [1-5]\d{3}\n\n$", text)


@pytest.mark.slow
async def test_the_lists_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more streams than that the number is told; of those that ended, the last are kept."""
    monkeypatch.setattr(overview, "MOST_LIVE", 2)
    for number in range(LAST_ENDS + 1):
        await stage.client.ask(f"e{number}", "hello", model="scripted/echo")
    for number in range(5):
        await stage.client.post(f"s{number}", "hello")
    html = await page(stage)
    assert [row["Chat"] for row in rows(section(html, "running"))] == ["s0", "s1"]
    assert "and 3 more" in section(html, "running")
    ended = [row["Chat"] for row in rows(section(html, "ended"))]
    assert len(ended) == LAST_ENDS
    assert (ended[0], ended[-1]) == (f"e{LAST_ENDS}", "e1")


async def test_a_stream_that_does_not_close_is_conspicuous(tmp_path: Path) -> None:
    """It is counted, and its end says that the connection was not confirmed closed."""
    async with on_stage(tmp_path, deaf=True, stubborn=True, supersede_timeout=0.1) as stage:
        posted: dict[str, Any] = await stage.client.post("s1", "hello")
        await stage.opened()
        await stage.client.stop(posted["stream_id"])
        html = await page(stage)
        (ended,) = rows(section(html, "ended"))
        assert (ended["Outcome"], ended["Connection"]) == ("Stopped", "not confirmed closed")
        assert re.search(r'<div class="bad"><dt>Not closing</dt><dd>1</dd>', html)
        stage.puppet.generations[0].finish()


async def test_readers_share_what_is_rendered(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one language cost as much as one."""
    drawn: list[str] = []
    draw = templates.render_text

    def counted(request: web.Request, part: str, context: Mapping[str, Any]) -> str:
        drawn.append(context["states"]["complete"])
        return draw(request, part, context)

    monkeypatch.setattr(handlers, "render_text", counted)
    monkeypatch.setattr(handlers, "EVERY", 600.0)
    async with AsyncExitStack() as stack:
        for language in ("en", "de", "en", "de", "en"):
            headers = {"Accept": "text/event-stream", "Accept-Language": language}
            response = await stack.enter_async_context(stage.http.get("/ops/events", headers=headers))
            assert (await anext(read_events(response))).name == "board"
    assert drawn == ["Complete", "Vollständig"]


OWNERS: dict[str, Any] = {"auth": "proxy", "trusted_proxies": ("127.0.0.1",), "admins": ("root",)}


def named(name: str, **headers: str) -> dict[str, str]:
    """Return the headers with which the proxy says who asks."""
    return {"X-Forwarded-User": name, **headers}


async def test_it_can_be_asked_by_owner(tmp_path: Path) -> None:
    """As a page, which keeps the choice in its links, its events and its form; as JSON; as events."""
    async with on_stage(tmp_path, **OWNERS) as stage:
        for number, owner in enumerate(("alice", "bob", "root"), 1):
            await stage.http.post("/api/sessions/s1/streams", json={"prompt": "hello"}, headers=named(owner))
            await stage.opened(number)
        stage.puppet.generations[1].finish()
        await until(lambda: stage.registry.statistics().active == 2)
        html = await page(stage, **named("root"))
        assert [(row["Owner"], row["Chat"]) for row in rows(section(html, "running"))] == [
            ("alice", "alice/s1"),
            ("root", "s1"),
        ]
        assert rows(section(html, "ended"))[0]["Owner"] == "bob"
        assert 'href="/ops?owner=alice"' in html

        html = await page(stage, "/ops?owner=alice&reload=off", **named("root"))
        assert [row["Chat"] for row in rows(section(html, "running"))] == ["alice/s1"]
        assert "No answer has ended yet." in section(html, "ended")
        assert 'name="owner" value="alice"' in html
        assert 'data-events="/ops/events?owner=alice"' in html
        assert 'href="/ops?owner=alice&amp;reload=off"' in html

        url = "/ops?owner=bob"
        async with stage.http.get(url, headers=named("root", Accept="application/json")) as response:
            data = await response.json()
        assert (data["owner"], data["live"], data["more"]) == ("bob", [], 0)
        assert [(end["owner"], end["session_id"], end["outcome"]) for end in data["ended"]] == [
            ("bob", "s1", "complete")
        ]
        assert (data["statistics"]["active"], data["history"]["writable"]) == (2, True)

        async with stage.http.get("/ops/events?owner=alice", headers=named("root")) as response:
            first = await anext(read_events(response))
        assert [row["Owner"] for row in rows(section(first.data["html"], "running"))] == ["alice"]
        nobody = await page(stage, "/ops?owner=%22%3E%3Cscript%3E", **named("root"))
        assert "<script>" not in nobody
        assert "Nothing is running." in nobody
        async with stage.http.get("/ops?owner=alice", headers=named("alice")) as response:
            await problem(response, 404, "not_found")


async def test_where_everybody_is_one_owner_there_is_no_column(stage: Stage) -> None:
    """Nor a form to choose one; but it can be asked for."""
    await stage.answer("s1", "hello", "Hi")
    assert "Owner" not in await page(stage)
    assert rows(section(await page(stage, "/ops?owner=local"), "ended"))[0]["Owner"] == "local"
    assert "No answer has ended yet." in await page(stage, "/ops?owner=alice")


async def test_as_json_it_has_no_text_of_a_chat(stage: Stage) -> None:
    """No prompt, answer, title or message of a model server."""
    await stage.answer("s1", "secret prompt", "secret answer")
    posted = await stage.client.post("s2", "secret three")
    (await stage.opened(2)).fail(UpstreamTruncated("The secret text broke off."))
    await stage.client.read_stream(posted["stream_id"])
    async with stage.http.get("/ops", headers={"Accept": "application/json"}) as response:
        assert response.headers["Cache-Control"] == "no-store"
        text = await response.text()
    assert "secret" not in text
    assert "upstream_truncated" in text


async def test_the_boards_that_are_kept_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody who may see the page can ask for any owner."""
    monkeypatch.setattr(handlers, "EVERY", 0.0)
    for number in range(20):
        async with stage.client.events(f"/ops/events?owner={number}") as events:
            await anext(events)
    assert len(stage.live.app[handlers.DRAWN]) == 1
