"""Long chats: a page has their newest messages, and earlier ones can be had."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import pytest

from app.chat.errors import MessageNotFound
from app.chat.records import Message
from app.web.api.message_range import CHARACTERS, MESSAGES, MOST_MESSAGES, WHOLE, MessageRange, bounds
from tests.support.client import Client
from tests.support.long_chat import import_long
from tests.web.stage import problem

EXCHANGES = 500


def branch(exchanges: int, size: int = 10) -> list[Message]:
    """Prompts `p0`, `p1`, … and answers `a0`, `a1`, …, each of so many characters."""
    names = [f"{kind}{number}" for number in range(exchanges) for kind in "pa"]
    roles: dict[str, Any] = {"p": "user", "a": "assistant"}
    return [
        Message(message_id=name, role=roles[name[0]], content="x" * size, created_at="") for name in names
    ]


@pytest.mark.parametrize(
    ("messages", "part", "through", "expected"),
    [
        ([], MessageRange(), None, (0, 0)),
        (branch(1), MessageRange(), None, (0, 2)),
        (branch(MESSAGES // 2), MessageRange(), None, (0, MESSAGES)),
        (branch(500), MessageRange(), None, (1000 - MESSAGES, 1000)),
        (branch(500), WHOLE, None, (0, 1000)),
        (branch(500), MessageRange(since="p400"), None, (800, 1000)),
        (branch(500), MessageRange(since="a400"), None, (800, 1000)),
        (branch(500), MessageRange(since="elsewhere"), None, (1000 - MESSAGES, 1000)),
        (branch(500), MessageRange(before="p480"), None, (960 - MESSAGES, 960)),
        (branch(500), MessageRange(before="p480", whole=True), None, (0, 960)),
        (branch(500), MessageRange(before="p3"), None, (0, 6)),
        (branch(500), MessageRange(before="p0"), None, (0, 0)),
        (branch(500), MessageRange(), "a10", (20, 1000)),
        (branch(500), MessageRange(before="p480"), "p490", (960 - MESSAGES, 960)),
        (branch(10, CHARACTERS), MessageRange(), None, (18, 20)),
        (branch(10, CHARACTERS // 4), MessageRange(), None, (16, 20)),
        (branch(10)[:-1], MessageRange(), None, (0, 19)),
    ],
)
def test_where_a_part_begins_and_ends(
    messages: list[Message], part: MessageRange, through: str | None, expected: tuple[int, int]
) -> None:
    """As many messages as are few and short enough together, with the last exchange whole."""
    assert bounds(messages, part, through) == expected


def test_a_part_before_an_unknown_message() -> None:
    """It is not in this branch: whoever asks has another one on the page."""
    with pytest.raises(MessageNotFound):
        bounds(branch(3), MessageRange(before="elsewhere"))


@pytest.mark.slow
async def test_the_page_of_a_long_chat_is_short(client: Client) -> None:
    """It has the newest messages, and a link to a page with all of them."""
    session_id = await import_long(client, EXCHANGES)
    async with client.http.get(f"/sessions/{session_id}") as response:
        page = await response.text()
    assert page.count('<article class="message" data-role="user" data-message-id="') == MESSAGES // 2 + 1
    assert f"prompt {EXCHANGES}</div>" in page
    assert "prompt 1</div>" not in page
    link = f"/sessions/{session_id}?all=1"
    assert f'<a class="quiet" href="{link}">Show earlier messages</a>' in page
    async with client.http.get(link) as response:
        page = await response.text()
    assert "prompt 1</div>" in page
    assert f"prompt {EXCHANGES}</div>" in page


async def test_the_snapshots_parts_are_the_whole(client: Client) -> None:
    """Part by part, each before the one that came, a page gets every message once."""
    session_id = await import_long(client, 60)
    way = f"/sessions/{session_id}/snapshot"
    part = await client.get(way)
    messages = part["messages"]
    counts = [(len(messages), part["earlier"])]
    while part.get("earlier"):
        part = await client.get(f"{way}?before={messages[0]['message_id']}")
        assert messages[0]["parent_id"] == part["messages"][-1]["message_id"]
        messages = part["messages"] + messages
        counts.append((len(part["messages"]), part.get("earlier", 0)))
    assert counts == [(40, 80), (40, 40), (40, 0)]
    whole = await client.get(f"/api/sessions/{session_id}")
    assert [each["message_id"] for each in messages] == [each["message_id"] for each in whole["messages"]]
    assert "earlier" not in whole


async def test_a_snapshot_from_a_message_on(client: Client) -> None:
    """A page that has more than the newest part keeps what it has."""
    session_id = await import_long(client, 60)
    whole = (await client.get(f"/api/sessions/{session_id}"))["messages"]
    first = whole[10]["message_id"]
    part = await client.get(f"/sessions/{session_id}/snapshot?from={first}")
    assert [each["message_id"] for each in part["messages"]] == [each["message_id"] for each in whole[10:]]
    assert part["earlier"] == 10
    async with client.http.get(f"/sessions/{session_id}/snapshot?before=elsewhere") as response:
        await problem(response, 404, "message_not_found")


async def test_a_page_of_an_older_branch_shows_what_it_is_asked_for(client: Client) -> None:
    """However far from the end of the branch the message stands."""
    session_id = await import_long(client, 60)
    whole = (await client.get(f"/api/sessions/{session_id}"))["messages"]
    wanted = whole[7]["message_id"]
    part = await client.get(f"/sessions/{session_id}/snapshot?branch={wanted}")
    assert part["messages"][0]["message_id"] in (whole[6]["message_id"], wanted)
    assert part["branch"] == whole[-1]["message_id"]


async def test_the_first_prompt_on_a_page_is_edited_in_its_place(client: Client) -> None:
    """Its form names the message before it, although that is not on the page."""
    session_id = await import_long(client, 60)
    part = await client.get(f"/sessions/{session_id}/snapshot")
    parent = part["messages"][0]["parent_id"]
    async with client.http.get(f"/sessions/{session_id}") as response:
        page = await response.text()
    assert f'<input type="hidden" name="parent_id" value="{parent}">' in page
    assert f'data-before="{parent}"' in page


@pytest.mark.slow
async def test_a_page_has_a_largest_part(client: Client) -> None:
    """However much is asked for; without scripts, links lead from part to part up to the first message."""
    session_id = await import_long(client, MOST_MESSAGES // 2 + 100)
    way: str | None = f"/sessions/{session_id}?all=1"
    shown: list[str] = []
    while way is not None:
        async with client.http.get(way) as response:
            assert response.status == 200
            page = await response.text()
        ids = re.findall(r'<article class="message" data-role="\w+" data-message-id="([^"]+)"', page)
        assert 0 < len(ids) <= MOST_MESSAGES
        shown = ids + shown
        link = re.search(r'data-part="earlier"><a class="quiet" href="([^"]+)"', page)
        way = html.unescape(link[1]) if link else None
    whole = (await client.get(f"/api/sessions/{session_id}"))["messages"]
    assert shown == [each["message_id"] for each in whole]
    assert [each["content"] for each in whole[:2]] == ["prompt 1", "1: an answer"]
    first = whole[0]["message_id"]
    for query in (f"?from={first}", f"?branch={first}"):
        part = await client.get(f"/sessions/{session_id}/snapshot{query}")
        assert part["messages"][-1]["message_id"] == whole[-1]["message_id"]
        assert len(part["messages"]) <= MOST_MESSAGES
    source = await client.get(f"/sessions/{session_id}/snapshot?from={first}&branch={first}")
    assert first in [each["message_id"] for each in source["messages"]]


async def test_a_long_chat_is_exported_in_pieces(client: Client) -> None:
    """As JSON that can be imported again, and as Markdown with all messages of the branch."""
    session_id = await import_long(client, MOST_MESSAGES // 2 + 100)
    async with client.http.get(f"/api/sessions/{session_id}/export") as response:
        data = await response.read()
    headers = {"Content-Type": "application/json"}
    async with client.http.post("/api/sessions/import", data=io.BytesIO(data), headers=headers) as response:
        again = await response.json()
    ours, theirs = [
        (await client.get(f"/api/sessions/{each}"))["messages"] for each in (session_id, again["session_id"])
    ]
    kept = ("content", "role", "outcome", "tokens", "created_at")
    assert [[each[name] for name in kept] for each in ours] == [
        [each[name] for name in kept] for each in theirs
    ]
    async with client.http.get(f"/api/sessions/{session_id}/export?format=markdown") as response:
        text = await response.text()
    assert text.count("\n## You\n") == len(ours) // 2
    assert text.startswith("# A long chat\n\n## You\n\nprompt 1\n\n## Answer")
    assert text.endswith(f"{len(ours) // 2}: an answer\n")


@pytest.mark.slow
async def test_a_long_chat_is_gone_on_with(client: Client) -> None:
    """The model reads its end; an early prompt is edited and an early answer regenerated in their places."""
    session_id = await import_long(client, MOST_MESSAGES // 2 + 100)
    whole = (await client.get(f"/api/sessions/{session_id}"))["messages"]
    early = whole[3]["message_id"]
    for body in ({"prompt": "and now?"}, {"prompt": "no, that", "parent_id": early}, {"regenerate": early}):
        posted = await client.register(session_id, model="scripted/echo", **body)
        assert posted["http"] == 201, posted
        assert (await client.read_stream(posted["stream_id"]))[-1].data["outcome"] == "complete"
    branch = (await client.get(f"/api/sessions/{session_id}"))["messages"]
    assert [each["content"] for each in branch[:3]] == [each["content"] for each in whole[:3]]
    assert len(branch) == 4
    assert branch[3]["siblings"] == [early, branch[3]["message_id"]]
    refused = await client.register(session_id, model="scripted/echo", regenerate="nowhere")
    assert (refused["http"], refused["code"]) == (404, "message_not_found")
