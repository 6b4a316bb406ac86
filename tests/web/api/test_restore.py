"""Delete means delete, and for some seconds it can be undone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.chat import undo
from app.chat.archive import size
from app.chat.errors import NothingToRestore
from app.chat.scoped_ids import LOCAL
from app.history.undo_buffer import UndoBuffer
from tests.history.archives import archive
from tests.history.files import rows
from tests.support.waiting import until, until_told
from tests.web.stage import Stage, on_stage, problem, take

TABLES = ("sessions", "messages", "streams", "pieces", "keys", "images", "deleted")


def without_cursor(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot without what belongs to the live session."""
    return {name: value for name, value in snapshot.items() if name != "cursor"}


async def refused(stage: Stage, session_id: str) -> None:
    """See that there is nothing to restore."""
    async with stage.http.post(f"/api/sessions/{session_id}/restore") as response:
        body = await problem(response, 404, "nothing_to_restore")
        assert "60 s" in body["detail"]


@pytest.mark.slow
async def test_what_is_deleted_is_gone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream stops, its upstream is closed, its viewers end; log, keys and ids are gone with the answer.

    The rows go when it cannot be restored any more.
    """
    monkeypatch.setattr(undo, "SECONDS", 1.0)
    async with on_stage(tmp_path) as stage:
        registered = await stage.client.post("s1", "hello", key="k")
        generation = await stage.opened()
        generation.say("So far")
        async with (
            stage.client.events("/api/sessions/s1/events") as whole,
            stage.client.events(registered["events_url"]) as one,
        ):
            await take(whole, 4)
            await take(one, 4)
            assert (await stage.client.delete("/api/sessions/s1"))["http"] == 204
            assert generation.aborted.is_set()
            for events in (whole, one):
                assert [(event.name, event.data["outcome"]) async for event in events] == [("end", "stopped")]
        for path in ("/api/sessions/s1", "/api/sessions/s1/export", registered["events_url"]):
            assert (await stage.client.get(path))["http"] == 404
        assert stage.registry.find("s1") is None
        await stage.settled()
        await until(lambda: _rows(tmp_path) == dict.fromkeys(TABLES, 0))


def _rows(folder: Path) -> dict[str, int]:
    return {table: rows(folder, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def test_a_delete_can_be_undone(stage: Stage) -> None:
    """Under the same ids, with the text so far of what ran; keys are known again, and the session works."""
    await stage.answer("s1", "first", "one")
    registered = await stage.client.post("s1", "second", key="k")
    (await stage.opened(2)).say("So far")
    async with stage.client.events(registered["events_url"]) as events:
        await take(events, 4)
    before = await stage.client.get("/api/sessions/s1")
    await stage.client.delete("/api/sessions/s1")
    async with stage.http.post("/api/sessions/s1/restore") as response:
        assert response.status == 200
        assert (await response.json())["title"] == "first"
    after = await stage.client.get("/api/sessions/s1")
    named = [(m["message_id"], m["parent_id"], m["stream_id"], m["content"]) for m in after["messages"]]
    assert named == [
        (m["message_id"], m["parent_id"], m["stream_id"], m["content"]) for m in before["messages"]
    ]
    assert (after["messages"][3]["outcome"], after["running"]) == ("stopped", None)
    again = await stage.client.post("s1", "second", key="k")
    assert (again["http"], again["stream_id"]) == (200, registered["stream_id"])
    await stage.answer("s1", "third", "three")
    await refused(stage, "s1")  # once is enough


async def test_a_viewer_of_a_restored_session_begins_anew(stage: Stage) -> None:
    """The old log is gone with its numbers: an old cursor is answered with a `reset`."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    cursor = (await stage.client.read_stream(stream_id))[0].id
    await stage.client.delete("/api/sessions/s1")
    await stage.http.post("/api/sessions/s1/restore")
    async with stage.client.events("/api/sessions/s1/events", cursor) as events:
        (reset,) = [event async for event in events]
    assert (reset.name, reset.data["reason"]) == ("reset", "epoch")


async def test_after_its_time_a_delete_is_final(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """404 with a sentence."""
    monkeypatch.setattr(undo, "SECONDS", 0.05)
    await stage.answer("s1", "hello", "Hi")
    await stage.client.delete("/api/sessions/s1")

    async def is_over() -> bool:
        try:
            await stage.registry.history.restorable(LOCAL, "s1")
        except NothingToRestore:
            return True
        return False

    await until_told(is_over)
    async with stage.http.post("/api/sessions/s1/restore") as response:
        await problem(response, 404, "nothing_to_restore")
    await refused_unknown(stage)


async def refused_unknown(stage: Stage) -> None:
    """What never was cannot be brought back."""
    async with stage.http.post("/api/sessions/never/restore") as response:
        await problem(response, 404, "nothing_to_restore")


async def test_a_new_session_of_that_name_is_not_written_over(stage: Stage) -> None:
    """A tab that shows the deleted one still may begin it: what was deleted comes back under a new id."""
    await stage.answer("s1", "old", "one")
    await stage.client.delete("/api/sessions/s1")
    await stage.answer("s1", "new", "two")
    async with stage.http.post("/api/sessions/s1/restore") as response:
        assert response.status == 200
        restored = (await response.json())["session_id"]
    assert restored != "s1"
    assert await contents(stage) == ["new", "two"]
    assert await contents(stage, restored) == ["old", "one"]
    await refused(stage, "s1")  # once is enough


async def test_a_form_leads_to_what_was_restored(stage: Stage) -> None:
    """Under whichever id it is there."""
    await stage.answer("s1", "old", "one")
    await stage.client.delete("/api/sessions/s1")
    await stage.answer("s1", "new", "two")
    async with stage.http.post("/sessions/s1/restore", allow_redirects=False) as response:
        assert response.status == 303
        restored = response.headers["Location"].removeprefix("/sessions/")
    assert await contents(stage, restored) == ["old", "one"]


async def test_prompts_beside_a_delete_and_its_undo_lose_nothing(stage: Stage) -> None:
    """Whichever comes first: the old messages are there in the end, and the undo keeps no prompt out."""
    await stage.answer("s1", "old", "one")
    session_id = "s1"
    for number in range(10):
        prompts = [stage.client.post(session_id, f"new {number}") for _ in range(2)]
        _, *posted = await asyncio.gather(stage.http.delete(f"/api/sessions/{session_id}"), *prompts)
        restoring = stage.http.post(f"/api/sessions/{session_id}/restore")
        restored, again = await asyncio.gather(restoring, stage.client.post(session_id, f"again {number}"))
        assert {post["http"] for post in posted} <= {201, 409}  # 409: it is just being deleted
        assert again["http"] == 201
        session_id = (await restored.json())["session_id"]
        assert (await contents(stage, session_id))[:2] == ["old", "one"]


async def contents(stage: Stage, session_id: str = "s1") -> list[str]:
    """What the messages of a session say."""
    session = await stage.client.get(f"/api/sessions/{session_id}")
    return [message["content"] for message in session["messages"]]


async def test_two_that_undo_at_once_undo_once(stage: Stage) -> None:
    """One is answered 200, the others 404; the session is there once."""
    await stage.answer("s1", "hello", "Hi")
    await stage.client.delete("/api/sessions/s1")
    posts = (stage.http.post("/api/sessions/s1/restore") for _ in range(5))
    statuses = [response.status for response in await asyncio.gather(*posts)]
    assert sorted(statuses) == [200, 404, 404, 404, 404]
    assert len((await stage.client.get("/api/sessions/s1"))["messages"]) == 2


async def test_a_restart_forgets_no_deletion(tmp_path: Path) -> None:
    """Neither that the session was deleted nor that it can come back."""
    async with on_stage(tmp_path) as stage:
        await stage.answer("s1", "a secret", "Hush")
        await stage.client.delete("/api/sessions/s1")
    async with on_stage(tmp_path) as stage:
        assert (await stage.client.get("/api/sessions/s1"))["http"] == 404
        async with stage.http.post("/api/sessions/s1/restore") as response:
            assert response.status == 200
        assert await contents(stage) == ["a secret", "Hush"]
        await stage.answer("s1", "third", "three")


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """In sessions and in bytes: the oldest one gives way, one that is too large is not kept."""
    monkeypatch.setattr(undo, "MOST", 3)
    store = UndoBuffer()
    kept = [archive() for _ in range(5)]
    for each in kept:
        store.put("me", each)
    assert len(store) == 3
    monkeypatch.setattr(undo, "MOST_BYTES", 1)
    store.put("me", archive(session_id="large"))
    assert len(store) == 3
    assert store.take("me", kept[4].session_id) == kept[4]
    store.clear()
    assert len(store) == 0
    monkeypatch.setattr(undo, "MOST_BYTES", size(kept[0]))
    store.put("me", kept[0])  # of what was dropped nothing is counted any more
    assert len(store) == 1
    store.clear()
