"""Fair use over HTTP: what is refused, how it is said, and what the page shows of the line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from app.chat.quotas import MESSAGE_BYTES
from app.streams.line import Lines
from tests.support.client import Client
from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, problem

HEADER = "X-Forwarded-User"
PROXY: dict[str, Any] = {"auth": "proxy", "trusted_proxies": ("127.0.0.1",), "viewer_grace": None}
FORM = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
GERMAN = {**FORM, "Accept-Language": "de"}
BODY = {"prompt": "hello"}


def user(stage: Stage, name: str) -> Client:
    """Return a client of this owner."""
    return Client(stage.live.url, {HEADER: name})


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server with small limits for each owner."""
    limits: dict[str, Any] = {"owner_streams": 2, "owner_prompts_per_minute": 4, "owner_sessions": 3}
    async with on_stage(tmp_path, **PROXY, **limits, owner_bytes=20 * MESSAGE_BYTES) as stage:
        yield stage


async def refused(client: Client, session_id: str, status: int, code: str, prompt: str = "hello") -> int:
    """Check that a prompt is refused with this problem; return the seconds of `Retry-After`."""
    path = f"/api/sessions/{session_id}/streams"
    async with client.http.post(path, json={"prompt": prompt}) as response:
        await problem(response, status, code)
        return int(response.headers["Retry-After"])


async def test_running_streams_are_limited(narrow: Stage) -> None:
    """429 with the code and a time; somebody else is not concerned; a stop makes room."""
    async with user(narrow, "alice") as alice, user(narrow, "bob") as bob:
        for session_id in "ab":
            assert (await alice.post(session_id, "hello"))["http"] == 201
        assert 1 <= await refused(alice, "c", 429, "owner_streams") <= 60
        assert (await alice.get("/api/sessions/c"))["http"] == 404
        assert (await bob.post("c", "hello"))["http"] == 201
        assert (await alice.delete("/api/sessions/a/stream"))["http"] == 200
        assert (await alice.post("c", "hello"))["http"] == 201


async def test_prompts_a_minute_are_limited(narrow: Stage) -> None:
    """Repeated keys are not counted, whether the limit is reached or not."""
    async with user(narrow, "alice") as alice:
        for _ in range(3):
            async with alice.http.post(
                "/api/sessions/a/streams", json=BODY, headers={"Idempotency-Key": "k"}
            ) as response:
                assert response.status in (200, 201)
        for _ in range(3):
            assert (await alice.post("a", "hello"))["http"] == 201
        assert 50 <= await refused(alice, "a", 429, "owner_prompts") <= 60
        async with alice.http.post(
            "/api/sessions/a/streams", json=BODY, headers={"Idempotency-Key": "k"}
        ) as response:
            assert response.status == 200


async def test_beyond_the_limit_nobody_looks_at_a_body(narrow: Stage) -> None:
    """Whether there is a key or not."""
    async with user(narrow, "alice") as alice:
        for _ in range(4):
            assert (await alice.post("a", "hello"))["http"] == 201
        for headers in ({}, {"Idempotency-Key": "another"}):
            json = {"Content-Type": "application/json", **headers}
            async with alice.http.post("/api/sessions/a/streams", data=b"{", headers=json) as response:
                await problem(response, 429, "owner_prompts")


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [(FORM, "You have sent 4 messages or imported"), (GERMAN, "zu viele Nachrichten gesendet oder Chats")],
    ids=["en", "de"],
)
async def test_imports_count_as_prompts(narrow: Stage, headers: dict[str, str], sentence: str) -> None:
    """What is refused counts nothing. The page says the same of both."""
    json = {"Content-Type": "application/json"}
    async with user(narrow, "alice") as alice:
        assert (await alice.post("a", "hello"))["http"] == 201
        async with alice.http.get("/api/sessions/a/export") as response:
            exported = await response.read()
        for _ in range(4):
            async with alice.http.post("/api/sessions/import", data=b"{}", headers=json) as response:
                assert response.status == 422
        for _ in range(3):
            async with alice.http.post("/api/sessions/import", data=exported, headers=json) as response:
                assert response.status == 201
            listed = await alice.get("/api/sessions")
            copy = next(each["session_id"] for each in listed["sessions"] if each["session_id"] != "a")
            assert (await alice.delete(f"/api/sessions/{copy}"))["http"] == 204
        assert 50 <= await refused(alice, "a", 429, "owner_prompts") <= 60
        async with alice.http.post("/api/sessions/import", data=exported, headers=json) as response:
            await problem(response, 429, "owner_prompts")
            assert 50 <= int(response.headers["Retry-After"]) <= 60
        form = FormData()
        form.add_field("file", exported, filename="chat.json", content_type="application/json")
        async with alice.http.post("/api/sessions/import", data=form, headers=headers) as response:
            assert response.status == 429
            assert sentence in await response.text()


async def test_stored_chats_are_limited(narrow: Stage) -> None:
    """507 for a prompt and for an import; a deletion makes room, and its undo is never refused."""
    async with user(narrow, "alice") as alice:
        for session_id in "abc":
            await alice.post(session_id, "hello")
            await alice.delete(f"/api/sessions/{session_id}/stream")
        assert await refused(alice, "d", 507, "owner_sessions") >= 1
        async with alice.http.get("/api/sessions/a/export") as response:
            exported = await response.read()
        json = {"Content-Type": "application/json"}
        async with alice.http.post("/api/sessions/import", data=exported, headers=json) as response:
            await problem(response, 507, "owner_sessions")
        assert (await alice.delete("/api/sessions/a"))["http"] == 204
        assert (await alice.post("d", "hello"))["http"] == 201
        async with alice.http.post("/api/sessions/a/restore") as response:
            assert response.status == 200


async def test_stored_bytes_are_limited(narrow: Stage) -> None:
    """507 for a prompt, an import and a system prompt."""
    async with user(narrow, "alice") as alice:
        await alice.post("a", "x" * 17 * MESSAGE_BYTES)
        await refused(alice, "a", 507, "owner_bytes", "y" * 2 * MESSAGE_BYTES)
        body = {"options": {"system": "z" * 2 * MESSAGE_BYTES}}
        async with alice.http.patch("/api/sessions/a", json=body) as response:
            await problem(response, 507, "owner_bytes")
        async with alice.http.get("/api/sessions/a/export") as response:
            exported = await response.read()
        json = {"Content-Type": "application/json"}
        async with alice.http.post("/api/sessions/import", data=exported, headers=json) as response:
            await problem(response, 507, "owner_bytes")


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [(FORM, "You have 2 answers in progress"), (GERMAN, "Zu viele Ihrer Antworten sind in Arbeit")],
    ids=["en", "de"],
)
async def test_a_form_keeps_what_was_typed(narrow: Stage, headers: dict[str, str], sentence: str) -> None:
    """The page says why, in the reader's language, and the message is still in its box."""
    async with user(narrow, "alice") as alice:
        for session_id in "ab":
            await alice.post(session_id, "hello")
        form = {"prompt": "what I typed"}
        async with alice.http.post("/api/sessions/c/streams", data=form, headers=headers) as response:
            page = await response.text()
            assert response.status == 429
            assert response.headers["Retry-After"]
    assert sentence in page
    assert "what I typed" in page


async def test_the_only_owner_has_no_limits(tmp_path: Path) -> None:
    """In the mode `local` nobody is waited for."""
    async with on_stage(
        tmp_path, owner_streams=1, owner_prompts_per_minute=1, owner_sessions=1, owner_bytes=1024
    ) as stage:
        for session_id in "abc":
            assert (await stage.client.post(session_id, "x" * 2000))["http"] == 201


async def test_the_whole_server_has_a_bound(tmp_path: Path) -> None:
    """Also in the mode `local`: 507 once all chats together are too large, or the disk is full."""
    async with on_stage(tmp_path / "one", stored_bytes=4096) as stage:
        assert (await stage.client.post("a", "x" * 2000))["http"] == 201
        await refused(stage.client, "b", 507, "server_full", "x" * 2000)
    async with on_stage(tmp_path / "two", free_disk_bytes=2**50) as stage:
        await refused(stage.client, "b", 507, "disk_full")


# ---- the line ------------------------------------------------------------------------------------------------


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server whose model server gives one answer at a time."""
    async with on_stage(tmp_path, **PROXY) as stage:
        stage.registry.lines = Lines({"puppet": 1}, 100)
        yield stage


def status(event: Event) -> tuple[str, str, int]:
    """Return what a status event says."""
    return event.data["status"], event.data.get("note", ""), event.data.get("place", 0)


async def test_the_place_in_line_is_said(busy: Stage) -> None:
    """In the events, in the state of the stream, in the snapshot and on the page, in the reader's language."""
    async with user(busy, "alice") as alice, user(busy, "bob") as bob:
        for session_id in "abc":
            await alice.post(session_id, session_id)
        await busy.asked("a")
        await until(lambda: next(iter(busy.registry.lines)).waiting == 2)
        registered = await bob.post("d", "d")
        stream = f"/api/streams/{registered['stream_id']}"
        await until(lambda: next(iter(busy.registry.lines)).waiting == 3)
        state = await bob.get(stream)
        assert (state["status"], state["note"], state["place"]) == ("thinking", "1st in line", 1)
        snapshot = await alice.get("/api/sessions/c")
        assert snapshot["messages"][-1]["note"] == "3rd in line"
        for headers, text in ((FORM, "3rd in line"), (GERMAN, "Platz 3 in der Warteschlange")):
            async with alice.http.get("/sessions/c", headers=headers) as response:
                assert text in await response.text()
        for prompt in ("a", "d", "b", "c"):
            generation = await busy.asked(prompt)
            generation.say("word")
            generation.finish()
        events = await bob.read_stream(registered["stream_id"])
        assert [status(event) for event in events if event.name == "status"] == [
            ("thinking", "", 0),
            ("thinking", "1st in line", 1),
            ("thinking", "", 0),
            ("streaming", "", 0),
        ]
        state = await bob.get(stream)
        assert (state["outcome"], state["note"], state["place"]) == ("complete", "", None)


async def test_a_stop_in_line_is_answered_at_once(busy: Stage) -> None:
    """Nothing was opened, so nothing has to be closed."""
    async with user(busy, "alice") as alice:
        await alice.post("a", "a")
        registered = await alice.post("b", "b")
        await until(lambda: next(iter(busy.registry.lines)).waiting == 1)
        stopped = await alice.delete(f"/api/streams/{registered['stream_id']}")
        assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", True)
        assert len(busy.puppet.generations) == 1
