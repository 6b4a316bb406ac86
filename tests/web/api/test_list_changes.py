"""The page's event stream tells that the list of sessions has changed, whoever changed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.sse import Event
from tests.web.stage import Stage, on_stage

RESTORED = ("POST", "/sessions/s2/restore")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server whose pages have a quick pulse, with two sessions."""
    async with on_stage(tmp_path, heartbeat=0.2) as stage:
        for session_id in ("s1", "s2"):
            await stage.answer(session_id, f"prompt of {session_id}", "Hi")
        yield stage


async def is_told(events: AsyncIterator[Event]) -> bool:
    """Tell whether the next event that is not a heartbeat says that the list has changed; two of those are silence."""
    names = []
    async for event in events:
        names.append(event.name)
        if event.name != "heartbeat" or len(names) == 2:
            return event.name == "list"
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/sessions/s2", {"json": {"title": "Other"}}),
        ("DELETE", "/api/sessions/s2", {}),
        ("POST", "/api/sessions/import", {}),
        ("POST", "/sessions/s2/rename", {"data": {"title": "Other"}}),
        ("POST", "/sessions/s2/delete", {}),
    ],
)
async def test_a_page_hears_of_what_others_change(
    stage: Stage, method: str, path: str, body: dict[str, Any]
) -> None:
    """By the API and by forms, of sessions that it does not show. Each change is told once."""
    async with stage.http.get("/api/sessions/s1/export") as response:
        archive = await response.json()
    if path.endswith("import"):
        body = {"json": archive}
    async with stage.client.events("/events?watch=s1:") as events:
        assert not await is_told(events)
        async with stage.http.request(method, path, allow_redirects=False, **body) as response:
            assert response.status < 400
        assert await is_told(events)
        assert not await is_told(events)
        if "delete" in (method + path).lower():
            for again in (RESTORED, (method, path), ("POST", "/api" + RESTORED[1])):
                async with stage.http.request(*again, allow_redirects=False) as response:
                    assert response.status < 400
                assert await is_told(events)


@pytest.mark.slow
async def test_many_changes_at_once_are_told_a_few_times(stage: Stage) -> None:
    """A page does not ask for the list a hundred times."""
    async with stage.client.events("/events?watch=s1:") as events:

        async def rename(number: int) -> None:
            async with stage.http.patch("/api/sessions/s2", json={"title": f"Title {number}"}) as response:
                assert response.status == 200

        assert not await is_told(events)
        await asyncio.gather(*(rename(number) for number in range(100)))
        told = 0
        while await is_told(events):
            told += 1
    assert 1 <= told < 50


@pytest.mark.slow
async def test_what_fails_is_not_told(stage: Stage) -> None:
    """Nothing has changed."""
    async with stage.client.events("/events?watch=s1:") as events:
        for path in ("/api/sessions/nobody", "/api/sessions/s2"):
            async with stage.http.patch(path, json={"title": ""}) as response:
                assert isinstance(response, aiohttp.ClientResponse)
                assert response.status in (404, 422)
        assert not await is_told(events)
