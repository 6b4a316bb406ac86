"""Searches over the wire: their bounds, and what a reader is told."""

from __future__ import annotations

import pytest

from app.chat.errors import SearchTimeout
from app.chat.searches import MOST_CHARACTERS, MOST_WORDS
from app.web.app_keys import HISTORY
from tests.web.stage import Stage, problem

TOO_LONG = ["a" * (MOST_CHARACTERS + 1), "a " * (MOST_WORDS + 1), "ä" * 1000]


@pytest.mark.parametrize("query", TOO_LONG)
async def test_a_long_search_is_refused_with_its_bounds(stage: Stage, query: str) -> None:
    """By the API as a problem; on a page in the list, and what was typed stays in its field."""
    async with stage.http.get("/api/sessions", params={"q": query}) as response:
        detail = (await problem(response, 422, "search_too_long"))["detail"]
    assert str(MOST_CHARACTERS) in detail
    async with stage.http.get("/", params={"q": query}, headers={"Accept": "text/html"}) as response:
        page = await response.text()
        assert response.status == 200
    assert f'<li class="none" role="alert">{detail}</li>' in page
    assert f'value="{query}"' in page


async def test_the_longest_search_is_carried_out(stage: Stage) -> None:
    """Up to its bounds."""
    await stage.answer("s1", "a" * 300, "b")
    for query in ("A" * MOST_CHARACTERS, "a b " * (MOST_WORDS // 2)):
        found = await stage.client.get(f"/api/sessions?q={query}")
        assert [session["session_id"] for session in found["sessions"]] == ["s1"]


async def test_a_search_without_an_end_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence, by the API and on the page, which shows everything else."""

    async def sessions(*_: object, query: str = "", **__: object) -> None:
        raise SearchTimeout

    monkeypatch.setattr(stage.live.app[HISTORY], "sessions", sessions)
    async with stage.http.get("/api/sessions?q=word") as response:
        told = await problem(response, 503, "search_timeout")
        assert int(response.headers["Retry-After"]) > 0
    async with stage.http.get("/?q=word", headers={"Accept": "text/html"}) as response:
        page = await response.text()
        assert response.status == 200
    assert told["detail"] in page


async def test_a_cursor_of_the_list_has_a_bound(stage: Stage) -> None:
    """It is a time and an id."""
    async with stage.http.get("/api/sessions", params={"after": "x" * 5000}) as response:
        await problem(response, 422, "invalid_query")
