"""A prompt whose owner is gone before anybody has seen any of its answer: the next owner starts it again."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from app.backends.scripted.scripts import Script
from app.chat.states import Outcome
from app.log.cursors import Cursor
from app.log.entries import End
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import TEXT, ends, entries, hanging
from tests.support.postgres import ask
from tests.support.waiting import stays, until

pytestmark = pytest.mark.slow
ANSWER = "It answers after all."


async def silent(node: LiveNode, session: str = "s", **body: Any) -> str:
    """Start an answer of which nothing comes; return its stream once everybody can see its `start`."""
    await node.ownership.own(session)
    answer = await node.client.register(session, prompt="hello", model="scripted/hang", **body)
    log = node.registry.session(session).log
    await until(lambda: log.answer is not None and log.head >= 2, within=30)
    return str(answer["stream_id"])


def answers(node: LiveNode, text: str = ANSWER) -> LiveNode:
    """Let the silent model answer at this node."""
    node.server.scripted.plays("hang", Script(text=text))
    return node


async def ended(node: LiveNode, stream: str, session: str = "s") -> End:
    """Return the end of a stream once it is shown."""
    await until(lambda: stream in ends(node, session), within=30)
    [end] = [
        entry.event for entry in entries(node, session) if entry.name == "end" and entry.stream_id == stream
    ]
    assert isinstance(end, End)
    return end


async def test_it_is_answered_by_the_new_owner(nodes: LiveNodes) -> None:
    """Under its own ids, with one `start` and one `end`, and viewers go on from their cursor."""
    a, b = await nodes.start(), answers(await nodes.start())
    await a.ownership.own("s")
    await a.client.ask("s", "before", model="scripted/short", options={"temperature": 0.5}, remember=True)
    stream = await silent(a, options={"top_p": 0.25})
    old = a.registry.session("s").log
    cursor = Cursor(old.epoch, old.head)
    await b.ownership.owner("s", over=1)
    end = await ended(b, stream)
    # The earlier owner may have a request to the model still.
    assert (end.outcome, end.upstream_closed) == (Outcome.COMPLETE, False)
    log = b.registry.session("s").log
    assert log.refusal(cursor) is None
    assert {entry.stream_id for entry in entries(b, after=cursor.seq)} == {stream}
    told = [entry.name for entry in entries(b) if entry.stream_id == stream]
    assert (told.count("start"), told.count("end"), told[-1]) == (1, 1, "end")
    await b.history.settle()
    messages = await b.history.messages("local", "s")
    assert (messages[3].content, messages[3].outcome, messages[3].stream_id) == (
        ANSWER,
        Outcome.COMPLETE,
        stream,
    )
    [request] = b.server.scripted.requests
    assert (request.options.temperature, request.options.top_p) == (0.5, 0.25)
    assert [message.content for message in request.messages][0::2] == ["before", "hello"]
    await until(lambda: a.server.scripted.ledger.open == 0, within=30)
    assert b.ownership.figures.interrupted == 0
    assert b.ownership.figures.takeovers == 1


async def test_the_same_prompt_again(nodes: LiveNodes) -> None:
    """Whoever repeats it with its key gets the answer."""
    a, b = await nodes.start(), answers(await nodes.start())
    await a.ownership.own("s")
    first = await a.client.register("s", key="k", prompt="hello", model="scripted/hang")
    await b.ownership.owner("s", over=1)
    again = await b.client.register("s", key="k", prompt="hello", model="scripted/hang")
    assert (again["http"], again["stream_id"]) == (200, first["stream_id"])
    events = await b.client.read_stream(again["stream_id"])
    assert (events[0].name, events[-1].name, events[-1].data["outcome"]) == ("start", "end", "complete")


async def test_only_once(nodes: LiveNodes) -> None:
    """A prompt that ends its node does not end all of them."""
    a, b, c = await nodes.start(), await nodes.start(), answers(await nodes.start())
    stream = await silent(a)
    await b.ownership.owner("s", over=1)
    await until(lambda: b.server.scripted.ledger.open == 1, within=30)
    await c.ownership.owner("s", over=2)
    assert ends(c)[stream] == (Outcome.INTERRUPTED, 0)
    assert (await c.history.stream("local", stream)).outcome is Outcome.INTERRUPTED


async def test_a_stop_of_it_does_not_say_what_nobody_knows(nodes: LiveNodes) -> None:
    """The stop was the reason for the takeover: the model may still run at the earlier owner."""
    a, b = await nodes.start(), await nodes.start()
    stream = await silent(a)
    await b.ownership.owner("s", over=1)
    stopped = await b.client.stop(stream)
    assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", False)


async def test_one_that_its_user_has_stopped(nodes: LiveNodes) -> None:
    """Its stop came while the earlier owner was leaving, and did not wait for the end."""
    a, b = await nodes.start(), answers(await nodes.start(continue_="auto"))
    stream = await silent(a)
    await a.history.halt("s", stream)
    await b.ownership.owner("s", over=1)
    assert ends(b)[stream] == (Outcome.INTERRUPTED, 0)
    await stays(lambda: not b.server.scripted.requests, during=1.0)


async def test_a_stop_takes_it_from_a_node_that_is_silent(nodes: LiveNodes) -> None:
    """It is started again for a moment, is stopped, and nothing continues it."""
    async with TcpProxy(0).serving() as network:
        a = await nodes.start(node_url=f"http://127.0.0.1:{network.port}")
        b = await nodes.start(continue_="auto")
        network.target = URL(a.server.client.url).port or 0
        stream = await silent(a)
        network.freeze()
        stopped = await b.client.delete("/api/sessions/s/stream")
        assert (stopped["http"], stopped["outcome"], stopped["upstream_closed"]) == (200, "stopped", False)
        session = b.registry.session("s")
        await stays(lambda: session.running is None, during=1.0)
        assert len(b.server.scripted.requests) <= 1
        assert (await b.history.messages("local", "s"))[-1].outcome is Outcome.STOPPED
        assert ends(b)[stream] == (Outcome.STOPPED, 0)


async def test_it_is_not_continued_as_well(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that continues interrupted answers by itself finds none: the model is asked once."""
    a, b = await nodes.start(), await nodes.start(continue_="auto")
    stream = await silent(a)
    interrupted, found = b.history.interrupted, list[object]()

    async def noted(**about: Any) -> Any:
        answers = await interrupted(**about)
        found.append((about["sessions"], list(answers)))
        return answers

    monkeypatch.setattr(b.history, "interrupted", noted)
    await b.ownership.owner("s", over=1)
    await until(lambda: (frozenset({"s"}), []) in found, within=30)
    await until(lambda: b.server.scripted.ledger.open == 1, within=30)
    assert len(b.server.scripted.requests) == 1
    assert [each.stream_id for each in b.registry.session("s")] == [stream]


@pytest.mark.parametrize("path", ["/api/sessions/s/stream", "/api/streams/{stream}"])
async def test_a_stop_by_the_stream_that_it_continues(nodes: LiveNodes, path: str) -> None:
    """A node continued the answer by itself, and was gone before any text of it. Its viewer knows the first stream."""
    a, b, c = await nodes.start(), await nodes.start(continue_="auto"), await nodes.start()
    for node in (b, c):
        node.server.scripted.plays("hang-middle", Script(ending="hang"))
    first = await hanging(a)
    await b.ownership.owner("s", over=1)
    await until(lambda: b.server.scripted.ledger.open == 1, within=30)
    await c.ownership.owner("s", over=2)
    await until(lambda: c.server.scripted.ledger.open == 1, within=30)
    stopped = await c.client.delete(path.format(stream=first))
    assert (stopped["http"], stopped["outcome"]) == (200, "stopped")
    assert c.registry.session("s").running is None


async def test_one_whose_answer_was_stopped_before(nodes: LiveNodes) -> None:
    """The stop reached the history, and not the continuation, before the node was gone."""
    a, b, c = await nodes.start(), await nodes.start(continue_="auto"), await nodes.start(continue_="auto")
    b.server.scripted.plays("hang-middle", Script(ending="hang"))
    first = await hanging(a)
    await b.ownership.owner("s", over=1)
    await until(lambda: b.server.scripted.ledger.open == 1, within=30)
    [again] = [each.stream_id for each in b.registry.session("s")]
    await b.history.halt("s", first)
    await c.ownership.owner("s", over=2)
    assert ends(c)[again] == (Outcome.INTERRUPTED, 0)


async def test_a_newer_prompt_supersedes_it(nodes: LiveNodes) -> None:
    """As it would have at its first owner."""
    a, b = await nodes.start(), await nodes.start()
    stream = await silent(a)
    await b.ownership.owner("s", over=1)
    events = await b.client.ask("s", "newer", model="scripted/short")
    assert events[-1].data["outcome"] == "complete"
    assert ends(b)[stream] == (Outcome.SUPERSEDED, 0)


async def test_one_that_continues_an_answer(nodes: LiveNodes) -> None:
    """It begins with the text from before."""
    a, b = await nodes.start(), answers(await nodes.start(), f"{TEXT} it goes on")
    first = await hanging(a)
    await a.client.stop(first)
    [_, answer] = await a.history.messages("local", "s")
    body: dict[str, Any] = {"continue": answer.message_id, "model": "scripted/hang"}
    again = await a.client.register("s", **body)
    stream = str(again["stream_id"])
    await b.ownership.owner("s", over=1)
    assert (await ended(b, stream)).outcome is Outcome.COMPLETE
    await b.history.settle()
    [_, answer] = await b.history.messages("local", "s")
    assert (answer.content, answer.outcome) == (f"{TEXT} it goes on", Outcome.COMPLETE)


async def test_one_that_nobody_waits_for_any_more(nodes: LiveNodes) -> None:
    """All nodes were down for hours."""
    a, b = await nodes.start(), answers(await nodes.start())
    stream = await silent(a)
    await ask(nodes.database_url, "UPDATE streams SET created_at = '2026-01-01T00:00:00.000+00:00'")
    await b.ownership.owner("s", over=1)
    assert ends(b)[stream] == (Outcome.INTERRUPTED, 0)


async def test_a_node_without_room(nodes: LiveNodes) -> None:
    """It takes the session all the same."""
    a, b = await nodes.start(), answers(await nodes.start(max_streams=1))
    await hanging(b, "other")
    stream = await silent(a)
    await b.ownership.owner("s", over=1)
    assert ends(b)[stream] == (Outcome.INTERRUPTED, 0)


async def test_a_model_that_is_gone(nodes: LiveNodes) -> None:
    """The new owner does not know it."""
    a, b = await nodes.start(), await nodes.start()
    stream = await silent(a)
    await ask(nodes.database_url, "UPDATE streams SET model = 'scripted/gone'")
    await b.ownership.owner("s", over=1)
    assert ends(b)[stream] == (Outcome.INTERRUPTED, 0)


async def test_a_node_that_leaves(nodes: LiveNodes) -> None:
    """It leaves behind what a crash would leave behind: another node answers."""
    a, b = await nodes.start(), answers(await nodes.start(node_ttl=3.0))
    stream = await silent(a)
    await a.server.departure.close()
    await until(lambda: b.ownership.holds("s", 2), within=30)
    assert (await ended(b, stream)).outcome is Outcome.COMPLETE


@pytest.mark.parametrize("how", ["it leaves", "it gives the session up"])
async def test_prompts_that_wait_where_a_node_leaves(nodes: LiveNodes, how: str) -> None:
    """None gets a `start` there any more, which would have no end: the next node tells all of them."""
    a, b = await nodes.start(), answers(await nodes.start())
    first = await silent(a)
    waiting = [
        (await b.client.post("s", f"number {number}", model="scripted/short", if_active="enqueue"))[
            "stream_id"
        ]
        for number in range(2)
    ]
    if how == "it leaves":
        await a.server.departure.close()
        await b.ownership.own("s")
        streams = [first, *waiting]
    else:
        a.ownership.claiming = False
        streams = [first, *waiting, (await b.client.post("s", "new", model="scripted/short"))["stream_id"]]
    await ended(b, streams[-1])
    shown = [(entry.stream_id, entry.name) for entry in entries(b) if entry.name in ("start", "end")]
    assert shown == [(stream, name) for stream in streams for name in ("start", "end")]
