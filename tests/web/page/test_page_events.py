"""The page's event stream: the events of several sessions, with the blocks of answers, over one connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from app.web.blocks import renderer
from tests.markdown.corpus import ANSWERS
from tests.markdown.rendered import document
from tests.support.client import Client
from tests.support.waiting import until
from tests.web.page_client import Page, snapshot
from tests.web.stage import Stage, on_stage, problem, take, until_event

WATCH = "/events?watch=s1:"


def pieces(text: str, size: int = 1) -> list[str]:
    """Cut a text as a model would, or into larger pieces."""
    random = Random(0)
    cut: list[str] = []
    while text:
        length = size * random.choice((1, 2, 3, 4, 8))
        cut.append(text[:length])
        text = text[length:]
    return cut


async def blocks_of(text: str) -> list[str]:
    """Render a text where it does not keep the loop under test."""
    return (await asyncio.to_thread(document, text)).blocks


async def written(stage: Stage, text: str, size: int = 1) -> Page:
    """Let the model write `text` into session s1 while a page looks on; return the page."""
    page = Page()
    expected = await blocks_of(text)
    number = len(stage.puppet.generations) + 1
    await stage.client.post("s1", "hello")
    generation = await stage.opened(number)
    async with stage.client.events(WATCH) as events:
        page.take(await take(events, 2))
        for piece in pieces(text, size):
            generation.say(piece)
        generation.finish()
        page.take(await until_event(events, "end"))
        (answer,) = page.answers.values()
        while len(answer.blocks) < len(expected):
            page.take([await anext(events)])
    return page


@pytest.mark.parametrize("name", ANSWERS)
async def test_live_blocks_are_those_of_the_snapshot(stage: Stage, name: str) -> None:
    """When an answer has ended, a page that looked on shows what one shows that loads it now."""
    page = await written(stage, ANSWERS[name])
    loaded = Page()
    loaded.load(await snapshot(stage.client))
    (live,), (later,) = page.answers.values(), loaded.answers.values()
    assert live.html == later.html == await blocks_of(ANSWERS[name])
    assert live.text == later.text == ANSWERS[name]
    assert live.tail == later.tail == ""


async def test_a_block_comes_before_the_token_that_closed_it(stage: Stage) -> None:
    """So a page never paints what is no longer open."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as events:
        await take(events, 2)
        generation.say("# One\n")
        seen = await until_event(events, "token")
        generation.say("two\n\nthree")
        seen += await until_event(events, "token")
        generation.finish()
        seen += await until_event(events, "end")
    assert [event.name for event in seen] == ["status", "block", "token", "block", "token", "block", "end"]
    blocks = [event for event in seen if event.name == "block"]
    assert not any(event.had_id for event in blocks)
    assert [(event.data["index"], event.data["end"]) for event in blocks] == [(0, 6), (1, 10), (2, 16)]


@pytest.mark.slow
async def test_a_page_resumes_at_every_position(stage: Stage) -> None:
    """Broken off after any event of an answer, it shows in the end what the others show."""
    text = ANSWERS["links"]
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    pages: list[Page] = []
    async with stage.client.events(WATCH) as events:
        watching = Page()
        watching.take(await take(events, 2))
        for piece in pieces(text):
            pages.append(Page())
            pages[-1].load(await snapshot(stage.client))
            assert pages[-1].cursors == watching.cursors
            generation.say(piece)
            watching.take(await until_event(events, "token"))
        # All of them come back at once, in the middle of the answer, before it ends.
        readers = [asyncio.create_task(resume(stage.client, page)) for page in pages]
        await until(lambda: stage.registry.statistics().viewers == 1 + len(pages))
        generation.finish()
        watching.take(await until_event(events, "end"))
        await asyncio.gather(*readers)
    expected = await blocks_of(text)
    for page in [watching, *pages]:
        (answer,) = page.answers.values()
        assert answer.html == expected
        assert (answer.text, answer.tail) == (text, "")


async def resume(client: Client, page: Page) -> None:
    """Go on from the page's cursors to the end of the answer."""
    async with client.events(page.path()) as events:
        page.take(await until_event(events, "end"))


async def test_late_links_change_earlier_blocks_and_no_others(stage: Stage) -> None:
    """At the end, only the blocks that differ are sent again, before the `end`."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as events:
        page = Page()
        page.take(await take(events, 2))
        generation.say("See [a].\n\nNot [b].\n\nPlain.\n\n")
        page.take(await until_event(events, "token"))
        generation.say("[a]: https://example.org\n")
        generation.finish()
        seen = await until_event(events, "end")
    page.take(seen)
    blocks = [event.data["index"] for event in seen if event.name == "block"]
    assert blocks == [3, 0]
    (answer,) = page.answers.values()
    assert 'href="https://example.org"' in answer.html[0]


async def test_large_blocks_come_late_and_in_order(stage: Stage) -> None:
    """They are rendered beside the loop, and the blocks after them wait for them."""
    code = "```python\n" + "x = 1  # a comment\n" * 700 + "```\n"
    page = await written(stage, f"# One\n\n{code}\n# Two\n\n{code}\nEnd.", 200)
    (answer,) = page.answers.values()
    assert len(code) > renderer.SMALL
    assert answer.html == await blocks_of(answer.text)


async def test_several_sessions_share_a_connection(stage: Stage) -> None:
    """Each event says whose it is, in its id or in its data, and each session has its own order."""
    for number, session_id in enumerate(("s1", "s2", "s3"), start=1):
        await stage.client.post(session_id, "hello")
        await stage.opened(number)
    one, two, three = stage.puppet.generations
    async with stage.client.events("/events?watch=s1:&watch=s2:&watch=s3:") as events:
        seen = await take(events, 6)
        two.say("# two\n")
        one.say("# one\n")
        three.say("# three\n")
        for generation in (three, one, two):
            generation.finish()
        seen += await until_event(events, "end", 3)
    by_session: dict[str, list[str]] = {}
    for event in seen:
        session_id = event.data.get("session_id") or str(event.id).partition("/")[0]
        by_session.setdefault(session_id, []).append(event.name)
    assert set(by_session) == {"s1", "s2", "s3"}
    for names in by_session.values():
        assert names == ["start", "status", "status", "block", "token", "end"]


async def test_a_session_that_is_not_there_is_gone(stage: Stage) -> None:
    """The others go on."""
    await stage.client.post("s1", "hello")
    async with stage.client.events("/events?watch=nobody:1-5&watch=s1:") as events:
        gone, *rest = await take(events, 3)
    assert (gone.name, gone.data, gone.had_id) == ("gone", {"session_id": "nobody"}, False)
    assert [event.name for event in rest] == ["start", "status"]


@pytest.mark.parametrize("cursor", ["", "new"])
async def test_a_session_that_does_not_exist_yet_is_waited_for(stage: Stage, cursor: str) -> None:
    """Beside others; its first prompt is shown once, with its blocks, and the list has changed."""
    await stage.client.post("s1", "hello")
    other = await stage.asked("hello")
    async with stage.client.events(f"/events?watch=s2:{cursor}&watch=s1:") as events:
        assert [event.name for event in await take(events, 2)] == ["start", "status"]
        await stage.client.post("s2", "mine")
        generation = await stage.asked("mine")
        generation.say("# One\n\nTwo")
        generation.finish()
        seen = [event for event in await until_event(events, "end") if event.name != "list"]
        assert [event.name for event in seen] == [
            "start",
            "status",
            "status",
            "block",
            "token",
            "block",
            "end",
        ]
        assert str(next(event for event in seen if event.had_id).id).startswith("s2/")
        other.say("still here")
        assert (await until_event(events, "token"))[-1].data["text"] == "still here"
        assert stage.registry.statistics().viewers == 2
    await until(lambda: stage.registry.arrivals.waiting == 0)
    await until(lambda: stage.registry.statistics().viewers == 0)


@pytest.mark.slow
async def test_a_page_hears_of_a_new_session(stage: Stage) -> None:
    """Of any of its owner's: its list has changed. A second prompt changes no list."""
    async with stage.client.events("/events?watch=nobody:new") as events:
        await stage.client.post("s2", "elsewhere")
        assert (await anext(events)).name == "list"


async def test_a_page_that_is_older_than_its_session_needs_the_snapshot(stage: Stage) -> None:
    """It was made for a new session, which has begun by now: what was before cannot be told from nothing."""
    await stage.answer("s1", "first", "one")
    async with stage.client.events("/events?watch=s1:new") as events:
        reset = await anext(events)
    assert (reset.name, reset.data["reason"]) == ("reset", "epoch")


async def test_a_page_that_waits_ends_with_the_server(stage: Stage) -> None:
    """Cleanly, and no session is called gone."""
    async with stage.http.get("/events?watch=nobody:new") as response:
        await until(lambda: stage.registry.arrivals.waiting == 1)
        await stage.registry.close()
        text = (await response.read()).decode()
    assert "gone" not in text


async def test_a_session_that_is_deleted_meanwhile_is_gone(stage: Stage) -> None:
    """After its last event, and the others go on; nobody is counted as its viewer any more."""
    await stage.client.post("s1", "hello")
    await stage.client.post("s2", "go on")
    generation = await stage.asked("go on")
    async with stage.client.events("/events?watch=s1:&watch=s2:") as events:
        await take(events, 4)
        assert (await stage.client.delete("/api/sessions/s1"))["http"] == 204
        seen = await until_event(events, "gone")
        assert [event.name for event in seen] == ["end", "gone"]
        assert seen[-1].data == {"session_id": "s1"}
        generation.say("still here")
        assert (await until_event(events, "token"))[-1].data["text"] == "still here"
        assert stage.registry.statistics().viewers == 1


@pytest.mark.parametrize("cursor", ["1-1", "99999999999999-1", "nonsense"])
async def test_a_cursor_of_another_time_is_reset(stage: Stage, cursor: str) -> None:
    """The session's snapshot is the way back; the others go on."""
    await stage.client.post("s1", "hello")
    await stage.client.post("s2", "hello")
    async with stage.client.events(f"/events?watch=s1:{cursor}&watch=s2:") as events:
        reset, *rest = await take(events, 3)
    expected = {"session_id": "s1", "reason": "epoch", "snapshot_url": "/sessions/s1/snapshot"}
    assert (reset.name, reset.data, reset.had_id) == ("reset", expected, False)
    assert [event.name for event in rest] == ["start", "status"]


async def test_a_cursor_in_an_answer_that_has_ended_is_reset(stage: Stage) -> None:
    """Of its blocks only the snapshot knows."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as events:
        cursor = str((await take(events, 2))[-1].id).partition("/")[2]
    generation.say("# one\n")
    generation.finish()
    await stage.settled()
    async with stage.client.events(f"/events?watch=s1:{cursor}") as events:
        reset = await anext(events)
    assert (reset.name, reset.data["reason"]) == ("reset", "expired")


async def test_an_automatic_retry_goes_on_where_it_was(stage: Stage) -> None:
    """EventSource sends the last id with the old address: it knows one of the cursors better."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as events:
        last = (await take(events, 2))[-1].id
    generation.say("word")
    async with stage.client.events(WATCH, last) as events:
        names = [event.name for event in await take(events, 2)]
    assert names == ["status", "token"]


async def test_the_next_answer_comes_over_the_same_connection(stage: Stage) -> None:
    """Blocks are counted from 0 in each answer."""
    await stage.client.post("s1", "first")
    (await stage.opened()).say("# one\n")
    async with stage.client.events(WATCH) as events:
        page = Page()
        page.take(await until_event(events, "token"))
        await stage.client.post("s1", "second")
        second = await stage.opened(2)
        second.say("# two\n", "\n", "three")
        second.finish()
        page.take(await until_event(events, "end", 2))
    assert [answer.html for answer in page.answers.values()] == [
        ["<h3>one</h3>"],
        ["<h3>two</h3>", "<p>three</p>"],
    ]


async def test_an_answer_that_goes_on_opens_its_last_block_again(stage: Stage) -> None:
    """`tail` comes after the `start` and before the first token; what was closed stays."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    generation.say("# One\n\nHalf a")
    await until(lambda: stage.registry.session("s1").log.head >= 4)
    await stage.client.delete("/api/sessions/s1/stream")
    page = Page()
    page.load(await snapshot(stage.client))
    (answer,) = page.answers.values()
    assert answer.html == ["<h3>One</h3>", "<p>Half a</p>"]
    (message_id,) = page.answers
    async with stage.client.events(page.path()) as events:
        async with stage.http.post("/api/sessions/s1/streams", json={"continue": message_id}) as response:
            assert response.status == 201, await response.text()
        seen = await until_event(events, "tail")
        assert [event.name for event in seen] == ["start", "tail"]
        page.take(seen)
        assert (answer.html, answer.tail) == (["<h3>One</h3>"], "\nHalf a")
        second = await stage.opened(2)
        second.say(" sentence.")
        second.finish()
        page.take(await until_event(events, "end"))
    assert answer.html == ["<h3>One</h3>", "<p>Half a sentence.</p>"]
    assert answer.html == (await snapshot(stage.client))["messages"][1]["blocks"]


async def test_a_page_that_leaves_is_forgotten(stage: Stage) -> None:
    """No viewer, no feed, no listener; and the answer goes on."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as events:
        await take(events, 2)
        assert stage.registry.statistics().viewers == 1
        assert stage.registry.session("s1").log.listeners == 1
    await until(lambda: stage.registry.statistics().viewers == 0)
    assert stage.registry.session("s1").log.listeners == 0
    assert stage.pulse.listeners == 0
    assert not generation.aborted.is_set()


async def test_pages_share_what_is_rendered(stage: Stage) -> None:
    """Two pages of a session have one listener in its log between them."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(WATCH) as one, stage.client.events(WATCH) as two:
        await take(one, 2)
        await take(two, 2)
        assert stage.registry.statistics().viewers == 2
        assert stage.registry.session("s1").log.listeners == 1
        generation.say("# one\n")
        blocks = [(await until_event(events, "block"))[-1].data for events in (one, two)]
    assert blocks[0] == blocks[1]


async def test_silence_is_broken(tmp_path: Path) -> None:
    """By heartbeats, without an id."""
    async with on_stage(tmp_path, heartbeat=0.15) as stage:
        await stage.client.post("s1", "hello")
        async with stage.client.events(WATCH) as events:
            seen = await take(events, 4)
    assert [event.name for event in seen] == ["start", "status", "heartbeat", "heartbeat"]
    assert not seen[-1].had_id


@pytest.mark.parametrize(
    "query", ["", "?watch=a/b:", "?watch=", "?" + "&".join(f"watch=s{n}:" for n in range(33))]
)
async def test_what_cannot_be_watched_is_refused(stage: Stage, query: str) -> None:
    """Nothing, what is no id, and more sessions than a page shows."""
    async with stage.http.get(f"/events{query}") as response:
        code = "invalid_id" if "watch=a" in query or query == "?watch=" else "invalid_query"
        await problem(response, 422, code)


async def test_a_server_that_ends_says_when_to_come_back(tmp_path: Path) -> None:
    """The response ends cleanly, after the last events, and no session is called gone."""
    async with on_stage(tmp_path) as stage:
        await stage.client.post("s1", "hello")
        async with stage.http.get(WATCH) as response:
            reading = asyncio.create_task(response.text())
            await until(lambda: stage.registry.statistics().viewers == 1)
            await stage.registry.close()
            text = await reading
    assert "event: end\n" in text
    assert "gone" not in text
    assert text.count("retry: ") == 2
