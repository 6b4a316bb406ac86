"""What a node makes of a session that was another node's: its log, its history, and those who wait for its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import redis.asyncio
from sqlalchemy import Connection, Engine, event

from app.chat.errors import HistoryUnavailable, SessionNotFound
from app.chat.states import Outcome, Status
from app.cluster.ownership import TAKEN_AT_ONCE
from app.history.statements.tables import HIDDEN
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Start
from app.log.shared.records import Place
from app.log.shared.shared_logs import key_of
from app.nodes.estate import MOST_TOLD
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.support.postgres import ask
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.slow
TEXT = "It begins well, and then"


def entries(node: LiveNode, session: str = "s", after: int = 0) -> list[Entry]:
    """What viewers of a node read of a session."""
    return list(node.registry.session(session).log.read(after).entries)


def ends(node: LiveNode, session: str = "s") -> dict[str, tuple[Outcome, int]]:
    """The ends in a log: outcome and tokens, by stream."""
    found = [entry.event for entry in entries(node, session)]
    return {end.stream_id: (end.outcome, end.tokens) for end in found if isinstance(end, End)}


async def hanging(node: LiveNode, session: str = "s", *, key: str | None = None) -> str:
    """Start an answer that hangs in the middle; return its stream once its text is shown."""
    await node.ownership.own(session)
    answer = await node.client.register(session, key=key, prompt="hello", model="scripted/hang-middle")
    log = node.registry.session(session).log
    await until(lambda: log.answer is not None and log.answer.content == TEXT, within=30)
    return str(answer["stream_id"])


async def fail_halfway(node: LiveNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the session over by force: its answers end in the history, and the reply that says so is lost."""
    interrupt = node.history.interrupt

    async def away(*of: Any, **how: Any) -> int:
        await interrupt(*of, **how)
        raise HistoryUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(node.history, "interrupt", away)
        with pytest.raises(HistoryUnavailable):
            await node.ownership.owner("s", over=1)


async def test_an_answer_is_ended_by_the_new_owner(nodes: LiveNodes) -> None:
    """With all its text. Viewers go on where they were; the old node stops its model and shows no end."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging(a)
    old = a.registry.session("s").log
    cursor = Cursor(old.epoch, old.head)
    lease = await b.ownership.owner("s", over=1)
    assert (lease.epoch, lease.node) == (2, b.ownership.node)
    log = b.registry.session("s").log
    assert log.refusal(cursor) is None
    [end] = entries(b, after=cursor.seq)
    assert (end.stream_id, end.name) == (stream, "end")
    messages = await b.history.messages("local", "s")
    assert (messages[1].content, messages[1].outcome) == (TEXT, Outcome.INTERRUPTED)
    await until(lambda: not a.ownership.holds("s"), within=30)
    await until(lambda: a.server.scripted.ledger.open == 0, within=30)
    assert [entry.name for entry in old.read(0).entries][-1] == "token"


async def test_a_takeover_that_failed_halfway_is_told_when_it_succeeds(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history has its end already, the log has not: it is counted, and `session_taken_over` says it."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging(a)
    await fail_halfway(b, monkeypatch)
    await b.ownership.owner("s")
    assert ends(b)[stream][0] == Outcome.INTERRUPTED
    assert (b.ownership.figures.takeovers, b.ownership.figures.interrupted) == (1, 1)


async def test_the_old_owner_learns_how_an_answer_ended(nodes: LiveNodes) -> None:
    """Although it had no text, so that nothing of it was refused: it does not run there for ever."""
    a, b = await nodes.start(), await nodes.start()
    answer = await a.client.register("s", prompt="hello", model="scripted/hang")
    await b.ownership.owner("s", over=1)
    await until(lambda: not a.ownership.holds("s"), within=30)
    stopped = await b.client.stop(str(answer["stream_id"]))
    assert stopped["outcome"] == "stopped"
    await b.history.settle()
    state = await a.history.stream("local", str(answer["stream_id"]))
    assert state.outcome is Outcome.STOPPED


async def test_waiting_prompts_get_a_start_and_an_end(nodes: LiveNodes) -> None:
    """In the order of the prompts. The newest is answered; who waits for another one learns that it will not run."""
    a, b = await nodes.start(), await nodes.start()
    first = await hanging(a)
    waiting = [
        (await a.client.register("s", prompt=f"number {number}", model="scripted/short", if_active="enqueue"))
        for number in range(2)
    ]
    streams = [first, *(str(answer["stream_id"]) for answer in waiting)]
    await b.ownership.owner("s", over=1)
    await until(lambda: streams[-1] in ends(b), within=30)
    shown = [entry for entry in entries(b) if entry.name in ("start", "end")]
    assert [(entry.stream_id, entry.name) for entry in shown] == [
        (stream, name) for stream in streams for name in ("start", "end")
    ]
    starts = [entry.event for entry in shown if isinstance(entry.event, Start)]
    assert [start.prompt.text for start in starts] == ["hello", "number 0", "number 1"]
    outcomes = [Outcome.INTERRUPTED, Outcome.INTERRUPTED, Outcome.COMPLETE]
    assert [outcome for outcome, _ in ends(b).values()] == outcomes
    states = [await b.history.stream("local", stream) for stream in streams]
    assert [state.outcome for state in states] == outcomes


async def test_waiting_prompts_are_told_after_a_takeover_that_failed_halfway(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ends were stored, and then the database was away: the log of the next attempt still lacks them."""
    a, b = await nodes.start(), await nodes.start()
    first = await hanging(a)
    waiting = [
        str(
            (await a.client.register("s", prompt="next", model="scripted/short", if_active="enqueue"))[
                "stream_id"
            ]
        )
        for _ in range(2)
    ]

    await fail_halfway(b, monkeypatch)
    states = [await b.history.stream("local", stream) for stream in waiting]
    assert states[0].outcome is Outcome.INTERRUPTED
    await b.ownership.owner("s", over=3)  # from the other node, if that was faster
    shown = [(entry.stream_id, entry.name) for entry in entries(b) if entry.name in ("start", "end")]
    told = [(stream, name) for stream in (first, *waiting) for name in ("start", "end")]
    assert shown == told
    # Nobody knows how far the first attempt has come: the newest is not started a second time.
    assert ends(b)[waiting[-1]] == (Outcome.INTERRUPTED, 0)


async def test_a_waiting_prompt_that_was_rolled_back_is_not_told(nodes: LiveNodes) -> None:
    """Its exchange is gone, so there is nothing to show. A new owner knows it by its stream alone."""
    a, b = await nodes.start(), await nodes.start()
    first = await hanging(a)
    waiting = await a.client.register("s", prompt="next", model="scripted/short", if_active="enqueue")
    state = await a.registry.stream_state("local", str(waiting["stream_id"]))
    await a.history.finish(
        msgspec.structs.replace(state, status=Status.ENDED, outcome=Outcome.SUPERSEDED), "", ""
    )
    await a.history.discard(state.stream_id)
    await a.history.settle()
    await b.ownership.owner("s", over=1)
    assert {entry.stream_id for entry in entries(b)} == {first}


async def stored_end(node: LiveNode, stream: str, content: str = TEXT, **changed: Any) -> None:
    """Store that a stream has ended, as its node does just before it shows it."""
    state = await node.registry.stream_state("local", stream)
    ended = msgspec.structs.replace(
        state, status=Status.ENDED, outcome=Outcome.COMPLETE, finish_reason="stop", **changed
    )
    await node.history.finish(ended, content, "")
    await node.history.settle()


async def test_an_end_that_was_stored_is_the_one_that_is_shown(nodes: LiveNodes) -> None:
    """Its owner died between the two."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging(a)
    tokens = a.registry.session("s").log.answer
    assert tokens is not None
    await stored_end(a, stream)
    await b.ownership.owner("s", over=1)
    assert ends(b)[stream] == (Outcome.COMPLETE, tokens.tokens)


async def test_text_that_only_the_history_has_is_told(nodes: LiveNodes) -> None:
    """The log lacks the last words. Viewers get them, and then the end, on their cursor."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging(a)
    log = a.registry.session("s").log
    assert log.answer is not None
    tokens, cursor = log.answer.tokens, Cursor(log.epoch, log.head)
    await stored_end(a, stream, f"{TEXT} it goes on", tokens=tokens + 3)
    await b.ownership.owner("s", over=1)
    assert b.registry.session("s").log.refusal(cursor) is None
    text, end = entries(b, after=cursor.seq)
    assert (text.name, text.text, text.position, text.count) == ("token", " it goes on", tokens, 3)
    assert (end.name, ends(b)[stream]) == ("end", (Outcome.COMPLETE, tokens + 3))


async def test_text_that_differs_is_read_in_the_history(nodes: LiveNodes) -> None:
    """Nobody can say what the log lacks, so its viewers are told to begin anew."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging(a)
    old = a.registry.session("s").log
    cursor = Cursor(old.epoch, old.head)
    await stored_end(a, stream, "another text", tokens=1000)
    await b.ownership.owner("s", over=1)
    log = b.registry.session("s").log
    assert entries(b) == []
    assert log.refusal(cursor) == log.refusal(Cursor(cursor.epoch, cursor.seq - 1)) == "expired"
    await b.client.ask("s", "again", model="scripted/short")
    assert [entry.name for entry in entries(b, after=log.floor)][-1] == "end"


async def test_a_session_comes_and_goes(nodes: LiveNodes) -> None:
    """Released and taken again by turns, its log and its cursors go on."""
    a, b = await nodes.start(), await nodes.start()
    heads: list[tuple[int, int]] = []
    for turn in range(4):
        node = (a, b)[turn % 2]
        await node.ownership.own("s")
        log = node.registry.session("s").log
        for epoch, head in heads:
            assert log.refusal(Cursor(epoch, head)) is None
        await node.client.ask("s", f"turn {turn}", model="scripted/short")
        heads.append((log.epoch, log.head))
        await node.ownership.give("s")
    assert [epoch for epoch, _ in heads] == [1, 2, 3, 4]
    assert sorted(head for _, head in heads) == [head for _, head in heads]
    messages = await a.history.messages("local", "s")
    assert [message.outcome for message in messages if message.role == "assistant"] == [Outcome.COMPLETE] * 4


async def test_a_deleted_session_leaves_nothing_in_the_log(nodes: LiveNodes) -> None:
    """Neither here nor for the next owner; under its id a new session begins, with the sequence numbers after it."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    await a.client.ask("s", "secret", model="scripted/echo")
    head = a.registry.session("s").log.head
    await a.registry.delete_session("local", "s", wait=2)
    log = a.registry.session("s").log
    assert (log.read(0).entries, log.head) == ([], head)
    await b.ownership.owner("s", over=1)
    assert (entries(b), b.registry.session("s").log.head) == ([], head)
    await b.client.ask("s", "again", model="scripted/short")
    assert entries(b, after=head)[0].name == "start"


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_session_that_is_lost_while_it_is_deleted_leaves_nothing_in_the_log(
    nodes: LiveNodes, halfway: bool
) -> None:
    """Its owner has deleted the messages, all or some, and not yet the events: the next one finds them."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    await a.client.ask("s", "secret", model="scripted/echo")
    old = a.registry.session("s").log
    await a.history.settle()
    if halfway:
        await ask(nodes.database_url, "UPDATE sessions SET owner = $1", HIDDEN)
    else:
        await a.history.delete("local", "s")
    await b.ownership.owner("s", over=1)
    log = b.registry.session("s").log
    assert (entries(b), log.head) == ([], old.head)

    async def is_gone() -> bool:
        try:
            return not await b.history.check("local", "s")
        except SessionNotFound:
            return False

    await until_told(is_gone, within=30)
    await b.client.ask("s", "again", model="scripted/short")
    c = await nodes.start()
    await c.ownership.owner("s", over=2)
    assert entries(c, after=old.head)[0].name == "start"
    assert {entry.stream_id for entry in entries(c)}.isdisjoint(
        entry.stream_id for entry in old.read(0).entries
    )


async def test_many_sessions_are_taken_over_at_once(nodes: LiveNodes) -> None:
    """Each with its answer, however they meet in the database and in Redis."""
    a, b = await nodes.start(), await nodes.start()
    sessions = [f"s{number}" for number in range(12)]
    streams = await asyncio.gather(*(hanging(a, session) for session in sessions))
    await asyncio.gather(*(b.ownership.owner(session, over=1) for session in sessions))
    for session, stream in zip(sessions, streams, strict=True):
        assert ends(b, session)[stream][0] is Outcome.INTERRUPTED
    assert b.ownership.figures.interrupted == 12


async def test_sessions_that_are_taken_over_at_once_share_their_work(nodes: LiveNodes) -> None:
    """Transactions, and statements in them: a node may die with hundreds of answers, and all end within a bound."""
    a, b = await nodes.start(owner_streams=200, owner_prompts_per_minute=200), await nodes.start()
    count = 2 * TAKEN_AT_ONCE
    groups = [
        [f"s{first + each}" for each in range(TAKEN_AT_ONCE)] for first in range(0, count, TAKEN_AT_ONCE)
    ]
    for group in groups:
        await asyncio.gather(*(hanging(a, session) for session in group))
    begun: list[Connection] = []
    ended: list[str] = []

    def begins(connection: Connection) -> None:
        begun.append(connection)

    def executes(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("UPDATE messages", "UPDATE streams", "DELETE FROM pieces")):
            ended.append(statement)

    event.listen(Engine, "begin", begins)
    event.listen(Engine, "before_cursor_execute", executes)
    try:
        for group in groups:
            await asyncio.gather(*(b.ownership.owner(session, over=1) for session in group))
    finally:
        event.remove(Engine, "begin", begins)
        event.remove(Engine, "before_cursor_execute", executes)
    assert b.ownership.figures.interrupted == count
    assert len(begun) < count * 3 / 2  # also those in which the old owner learns of it
    assert 0 < len(ended) < count / 2


class Stream:
    """What Redis has of the session's log."""

    def __init__(self, nodes: LiveNodes) -> None:
        self._redis: Any = redis.asyncio.from_url(nodes.redis_url)
        self._key = key_of("s")

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def lose(self, after: int) -> None:
        """Lose what followed a sequence number, as a crash does. Nothing is left of a stream without entries."""
        kept = [(place, said) for place, said in await self._entries() if Place.parse(place).seq <= after]
        async with self._redis.pipeline(transaction=True) as at_once:  # no node sees a part of it
            at_once.delete(self._key)
            for place, said in kept:
                at_once.xadd(self._key, said, id=place)
            await at_once.execute()

    async def trim(self, first: int) -> None:
        """Drop what came before a sequence number, as an answer does that is longer than the log may be."""
        for place, _ in await self._entries():
            if Place.parse(place).seq < first:
                await self._redis.xdel(self._key, place)

    async def _entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return list(await self._redis.xrange(self._key))


async def hanging_and_stored(nodes: LiveNodes, node: LiveNode) -> str:
    """The same as `hanging`; the text that viewers have seen is in the database, too."""
    stream = await hanging(node)

    async def is_stored() -> bool:
        stored = await ask(nodes.database_url, "SELECT string_agg(text, '' ORDER BY start) FROM pieces")
        return bool(stored == TEXT)

    await until_told(is_stored)
    return stream


def told(node: LiveNode) -> list[tuple[str, str]]:
    """The streams and events of a log, and the text."""
    return [(entry.stream_id, entry.text or entry.name) for entry in entries(node) if entry.name != "status"]


@pytest.mark.parametrize("kept", [True, False], ids=["the-end", "all"])
async def test_an_answer_that_the_log_has_lost_is_told_again(nodes: LiveNodes, *, kept: bool) -> None:
    """Its owner died when Redis lost its last second, or everything: there is one start, the text, and one end."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    first = (await a.client.ask("s", "before", model="scripted/short"))[0].data["stream_id"]
    before = told(a)
    head = a.registry.session("s").log.head
    stream = await hanging_and_stored(nodes, a)
    async with Stream(nodes) as redis_has:
        await redis_has.lose(after=head if kept else -1)
    await b.ownership.owner("s", over=1)
    again = [(stream, "start"), (stream, TEXT), (stream, "end")]
    assert told(b) == ([*before, *again] if kept else again)
    assert ends(b)[stream] == (Outcome.INTERRUPTED, len(TEXT.split(" ")))
    assert b.registry.session("s").log.refusal(Cursor(1, head)) == (None if kept else "epoch")
    assert b.registry.session("s").log.refusal(Cursor(1, head + 1)) == "epoch"
    assert (first in ends(b)) == kept


async def test_complete_answers_that_the_log_has_lost_are_told_again(nodes: LiveNodes) -> None:
    """Also those that had ended: whoever reads on from before them misses none."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    await a.client.ask("s", "before", model="scripted/short")
    head = a.registry.session("s").log.head
    for number in range(2):
        await a.client.ask("s", f"lost {number}", model="scripted/short")
    await a.history.settle()
    first = "".join(text for _, text in told(a)), ends(a)
    async with Stream(nodes) as redis_has:
        await redis_has.lose(after=head)
    await b.ownership.owner("s", over=1)
    assert b.registry.session("s").log.refusal(Cursor(1, head)) is None
    # In one piece, where the first telling had several.
    assert ("".join(text for _, text in told(b)), ends(b)) == first


async def test_many_answers_that_the_log_has_lost_are_read_in_the_history(nodes: LiveNodes) -> None:
    """Viewers load the snapshot then."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    await a.client.ask("s", "before", model="scripted/short")
    cursor = Cursor(1, a.registry.session("s").log.head)
    for number in range(MOST_TOLD + 1):
        await a.client.ask("s", f"lost {number}", model="scripted/short")
    await a.history.settle()
    async with Stream(nodes) as redis_has:
        await redis_has.lose(after=cursor.seq)
    await b.ownership.owner("s", over=1)
    assert (entries(b), b.registry.session("s").log.refusal(cursor)) == ([], "expired")
    await b.client.ask("s", "and on", model="scripted/short")
    assert [text for _, text in told(b)][-1] == "end"


async def test_an_answer_whose_beginning_was_trimmed_is_not_told_again(nodes: LiveNodes) -> None:
    """It is longer than the log may be. Viewers go on in its middle."""
    a, b = await nodes.start(), await nodes.start()
    stream = await hanging_and_stored(nodes, a)
    old = a.registry.session("s").log
    cursor = Cursor(old.epoch, old.head)
    async with Stream(nodes) as redis_has:
        await redis_has.trim(first=old.head)
    await b.ownership.owner("s", over=1)
    log = b.registry.session("s").log
    assert log.refusal(cursor) is None
    assert [(entry.stream_id, entry.name) for entry in entries(b, after=cursor.seq)] == [(stream, "end")]
    assert "start" not in [entry.name for entry in entries(b)]
