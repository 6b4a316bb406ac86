"""Sessions: list, read, rename, delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.client import Client
from tests.web.stage import Stage, problem, until_event

MESSAGE = {"message_id", "role", "content", "reasoning", "stream_id", "outcome", "model", "created_at"}


async def listed(client: Client, query: str = "") -> tuple[list[str], str | None]:
    """The ids of a page of sessions, and what continues it."""
    page = await client.get(f"/api/sessions?{query}")
    assert page["http"] == 200
    return [session["session_id"] for session in page["sessions"]], page["next"]


async def test_a_session_comes_into_being_with_its_first_prompt(stage: Stage) -> None:
    """Before that it is a 404, and in no list."""
    async with stage.http.get("/api/sessions/s1") as response:
        await problem(response, 404, "session_not_found")
    assert await listed(stage.client) == ([], None)
    await stage.client.post("s1", "hello")
    assert await listed(stage.client) == (["s1"], None)


async def test_a_session_is_read_with_its_messages_and_a_cursor(stage: Stage) -> None:
    """Every promised member is there; a running answer shows its text so far and no outcome."""
    await stage.answer("s1", "hello", "Hi")
    registered = await stage.client.post("s1", "more")
    generation = await stage.opened(2)
    generation.say("So", " far")
    async with stage.client.events(registered["events_url"]) as events:
        await until_event(events, "token")
    session = await stage.client.get("/api/sessions/s1")
    assert {"session_id", "title", "created_at", "updated_at", "messages", "cursor"} <= set(session)
    assert all(set(message) >= MESSAGE for message in session["messages"])
    shown = [(m["role"], m["content"], m["outcome"], m["model"]) for m in session["messages"]]
    assert shown == [
        ("user", "hello", None, None),
        ("assistant", "Hi", "complete", "puppet/puppet"),
        ("user", "more", None, None),
        ("assistant", "So far", None, "puppet/puppet"),
    ]
    assert session["messages"][3]["stream_id"] == registered["stream_id"] == session["running"]
    assert session["messages"][3]["status"] == "streaming"


async def test_a_snapshot_shows_one_branch(stage: Stage) -> None:
    """Each message says what it follows and what its siblings are; `branch` is the last one shown."""
    await stage.answer("s1", "hello", "Hi")
    await stage.answer("s1", "more", "Well")
    session = await stage.client.get("/api/sessions/s1")
    messages = session["messages"]
    ids = [message["message_id"] for message in messages]
    assert [message["parent_id"] for message in messages] == [None, *ids[:-1]]
    assert [message["siblings"] for message in messages] == [[each] for each in ids]
    assert session["branch"] == ids[-1]
    assert messages[-1]["finish_reason"] == "stop"
    assert (await stage.client.get(f"/api/sessions/s1?branch={ids[0]}"))["messages"] == messages
    async with stage.http.get("/api/sessions/s1?branch=unknown") as response:
        await problem(response, 404, "message_not_found")


async def test_the_list_is_newest_first(stage: Stage) -> None:
    """A session moves to the front with each prompt."""
    for session_id in ("s1", "s2", "s3", "s1"):
        await stage.answer(session_id, "hello", "Hi")
    sessions = (await stage.client.get("/api/sessions"))["sessions"]
    stamps = [session["updated_at"] for session in sessions]
    assert stamps == sorted(stamps, reverse=True)
    assert set(sessions[0]) >= {"session_id", "title", "created_at", "updated_at"}
    assert {session["session_id"] for session in sessions} == {"s1", "s2", "s3"}


async def test_the_list_comes_in_pages(stage: Stage) -> None:
    """`next` continues it, without repeating or leaving out one; the last page has none."""
    for number in range(7):
        await stage.answer(f"s{number}", "hello", "Hi")
    whole, _ = await listed(stage.client)
    found: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        params = {"limit": "3"} | ({"after": after} if after else {})
        async with stage.http.get("/api/sessions", params=params) as page:
            body: dict[str, Any] = await page.json()
        found += [session["session_id"] for session in body["sessions"]]
        after = body["next"]
        pages += 1
    assert (found, pages) == (whole, 3)


async def test_the_list_is_searched(stage: Stage) -> None:
    """In titles and messages, prompts and answers, without regard to case."""
    await stage.answer("s1", "The overshot wheel", "Turns")
    await stage.answer("s2", "Rivers", "They carry WATER away")
    assert await listed(stage.client, "q=WHEEL") == (["s1"], None)
    assert await listed(stage.client, "q=water+away") == (["s2"], None)
    assert await listed(stage.client, "q=nothing") == ([], None)
    assert (await listed(stage.client, "q=%25"))[0] == []


@pytest.mark.parametrize("limit", ["0", "201", "many", "-1", "nan", "1.5"])
async def test_the_size_of_a_page_is_a_whole_number_from_1_to_200(client: Client, limit: str) -> None:
    """422 for anything else."""
    async with client.http.get(f"/api/sessions?limit={limit}") as response:
        await problem(response, 422, "invalid_query")


async def test_a_place_in_the_list_that_is_none_is_harmless(client: Client) -> None:
    """An `after` that nobody gave out answers with a page, perhaps an empty one."""
    for after in ("x", "%00", "%ff", "9" * 5000):
        async with client.http.get(f"/api/sessions?after={after}") as response:
            assert response.status in (200, 422), await response.text()


async def test_a_session_is_renamed(stage: Stage) -> None:
    """The answer, the session and the list have the new title, in one line."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.patch("/api/sessions/s1", json={"title": "  The \n mill\t"}) as response:
        assert (response.status, (await response.json())["title"]) == (200, "The mill")
    assert (await stage.client.get("/api/sessions/s1"))["title"] == "The mill"
    assert (await stage.client.get("/api/sessions"))["sessions"][0]["title"] == "The mill"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"title": ""}, "invalid_title"),
        ({"title": " \n"}, "invalid_title"),
        ({"title": "x" * 201}, "invalid_title"),
        ({"title": 1}, "invalid_request"),
        ({}, "invalid_request"),
        ({"title": "x", "owner": "me"}, "invalid_request"),
    ],
)
async def test_a_bad_title_is_refused(stage: Stage, body: dict[str, Any], code: str) -> None:
    """422, and the title stays."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.patch("/api/sessions/s1", json=body) as response:
        await problem(response, 422, code)
    assert (await stage.client.get("/api/sessions/s1"))["title"] == "hello"


async def test_a_deleted_session_is_gone(stage: Stage) -> None:
    """204; then the session, its streams and its place in the list are gone; a second DELETE is a 404."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    assert (await stage.client.delete("/api/sessions/s1"))["http"] == 204
    for path in ("/api/sessions/s1", f"/api/streams/{stream_id}", "/api/sessions/s1/events?after=1-1"):
        assert (await stage.client.get(path))["http"] == 404
    assert (await stage.client.delete("/api/sessions/s1"))["http"] == 404
    assert await listed(stage.client) == ([], None)


async def test_deleting_a_session_stops_its_stream(stage: Stage) -> None:
    """The upstream is closed, and nothing of the stream is left."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    await stage.client.delete("/api/sessions/s1")
    assert generation.aborted.is_set()
    await stage.settled()
    assert stage.registry.statistics().ended == {"stopped": 1}
    assert stage.registry.statistics().sessions == 0


async def test_a_session_of_the_same_name_begins_anew(stage: Stage) -> None:
    """It has nothing of the deleted one."""
    await stage.answer("s1", "hello", "Hi")
    await stage.client.delete("/api/sessions/s1")
    await stage.answer("s1", "again", "Yes")
    messages = (await stage.client.get("/api/sessions/s1"))["messages"]
    assert [message["content"] for message in messages] == ["again", "Yes"]
    assert [message.content for message in stage.puppet.generations[1].request.messages] == ["again"]


async def test_renaming_and_deleting_what_is_not_there(client: Client) -> None:
    """404, as problems."""
    async with client.http.patch("/api/sessions/nobody", json={"title": "x"}) as response:
        await problem(response, 404, "session_not_found")
    async with client.http.delete("/api/sessions/nobody") as response:
        await problem(response, 404, "session_not_found")
