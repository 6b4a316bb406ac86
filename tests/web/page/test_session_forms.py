"""Sessions managed by forms: the list in parts, search, rename, delete."""

from __future__ import annotations

import re

import pytest

from tests.web.stage import Stage

PAGE = {"Accept": "text/html"}


async def page(stage: Stage, path: str, status: int = 200) -> str:
    """Return the page at `path`."""
    async with stage.http.get(path, headers=PAGE) as response:
        assert response.status == status
        return await response.text()


def listed(html: str) -> list[str]:
    """Return the sessions that a page lists."""
    shown = html.split('id="sessions"')[1].split("</ul>")[0]
    return re.findall(r'<li data-session-id="([^"]+)"', shown)


async def test_the_list_goes_on_with_more(stage: Stage) -> None:
    """Each part is a page of its own, and the last one has no More."""
    for number in range(53):
        await stage.client.post(f"s{number}", "hello", model="scripted/short")
    await stage.settled()
    first = await page(stage, "/")
    [more] = re.findall(r'data-part="further" href="([^"]+)"', first)
    second = await page(stage, more.replace("&amp;", "&"))
    assert len(listed(first)) == 50
    assert len(listed(second)) == 3
    assert not set(listed(first)) & set(listed(second))
    assert 'data-part="further" href="" hidden' in second


async def test_a_search_is_a_form(stage: Stage) -> None:
    """It keeps the conversation in view, and says so where it finds nothing."""
    await stage.answer("s1", "The overshot wheel", "Turns")
    await stage.answer("s2", "Rivers", "Flow")
    found = await page(stage, "/sessions/s2?q=WHEEL")
    assert listed(found) == ["s1"]
    assert 'value="WHEEL"' in found
    assert "Flow" in found
    assert "No matching chats" in await page(stage, "/?q=nowhere")


async def test_a_search_is_shown_as_it_was_typed(stage: Stage) -> None:
    """Markup in it is text."""
    assert 'value="&#34;&gt;&lt;b&gt;"' in await page(stage, "/?q=%22%3E%3Cb%3E")


async def test_a_session_is_renamed_by_a_form(stage: Stage) -> None:
    """303 to the session, which has the new title, in one line."""
    await stage.answer("s1", "hello", "Hi")
    assert 'value="hello"' in await page(stage, "/sessions/s1/manage")
    data = {"title": " The \r\n mill "}
    async with stage.http.post("/sessions/s1/rename", data=data, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
    assert "The mill" in await page(stage, "/sessions/s1")


async def test_a_refused_title_comes_back(stage: Stage) -> None:
    """With the sentence beside it."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.post("/sessions/s1/rename", data={"title": "x" * 201}) as response:
        shown = await response.text()
        assert response.status == 422
    assert "A title must have 1 to 200 characters." in shown
    assert "x" * 201 in shown


async def test_a_session_is_deleted_by_a_form(stage: Stage) -> None:
    """303 to a page that offers to undo it."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.post("/sessions/s1/delete", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/?deleted=s1")
    shown = await page(stage, "/?deleted=s1")
    assert 'action="/sessions/s1/restore"' in shown
    assert listed(shown) == []
    await page(stage, "/sessions/s1", 404)
    async with stage.http.post("/sessions/s1/restore", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
    assert "Hi" in await page(stage, "/sessions/s1")
    again = await page(stage, "/?deleted=s1")  # by the browser's Back
    assert 'data-part="toast" role="status" hidden' in again


@pytest.mark.parametrize("session_id", ["%22%3E%3Cscript%3E", "nobody"])
async def test_an_id_that_is_none_offers_no_undo(stage: Stage, session_id: str) -> None:
    """Whatever the address says."""
    shown = await page(stage, f"/?deleted={session_id}")
    assert 'data-part="toast" role="status" hidden' in shown


async def test_forms_of_sessions_that_are_not_there(stage: Stage) -> None:
    """404, as pages."""
    await page(stage, "/sessions/nobody/manage", 404)
    for act in ("rename", "delete", "restore"):
        async with stage.http.post(f"/sessions/nobody/{act}", data={"title": "x"}, headers=PAGE) as response:
            assert (response.status, response.content_type) == (404, "text/html")
