"""Turns: who runs, who waits, and what a newer prompt does."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from app.chat.errors import HistoryUnavailable, QueueFull, SessionBusy
from app.chat.states import Outcome, Reason, Status
from app.log.entries import End, Event
from app.streams.bounds import Bounds
from tests.streams.conftest import OWNER, Heart, content
from tests.support.lag import LAGS, lag
from tests.support.puppet import PuppetBackend
from tests.support.waiting import until


async def test_one_stream_goes_from_start_to_end(heart: Heart) -> None:
    """An answer has one start, the two states, its tokens and one end."""
    posted = await heart.post()
    assert posted.status is Status.THINKING
    generation = await heart.opened()
    generation.say("Hello", " world")
    generation.finish()
    stream = heart.stream(posted)
    assert await stream.wait_ended(5)
    assert [name for _, name in heart.names()] == ["start", "status", "status", "token", "end"]
    assert (stream.outcome, content(stream), stream.produced.closed) == (
        Outcome.COMPLETE,
        "Hello world",
        True,
    )


async def test_a_newer_prompt_supersedes_the_one_that_runs(heart: Heart) -> None:
    """The old stream ends before the new one starts, and keeps what it had."""
    first = await heart.post()
    (await heart.opened()).say("partial")
    old = heart.stream(first)
    await until(lambda: old.tokens)
    second = await heart.post(prompt="newer")
    assert second.status is Status.QUEUED
    new = heart.stream(second)
    assert await old.wait_ended(5)
    assert (old.outcome, content(old)) == (Outcome.SUPERSEDED, "partial")
    (await heart.opened("newer")).finish()
    assert await new.wait_ended(5)
    streams = [stream for stream, _ in heart.names()]
    assert streams == sorted(streams, key=[first.stream_id, second.stream_id].index), "they interleave"


async def test_the_upstream_is_closed_when_the_signal_returns(heart: Heart) -> None:
    """A stop does not wait for a task to wake: the connection is closed by the signal itself."""
    await heart.post()
    generation = await heart.opened()
    await heart.registry.stop_session(OWNER, "s", wait=0)
    assert generation.aborted.is_set()


async def test_of_many_prompts_at_once_only_the_last_reaches_the_model(heart: Heart) -> None:
    """Superseded while queued: they get their start and their end, but no generation."""
    await heart.post(prompt="running")
    await heart.opened("running")
    posted = await asyncio.gather(*(heart.post(prompt=str(number)) for number in range(5)))
    last = heart.stream(posted[-1])
    (await heart.opened("4")).finish()
    assert await last.wait_ended(5)
    reached = [generation.request.messages[-1].content for generation in heart.backend.generations]
    assert reached == ["running", "4"]
    names = heart.names()
    for registered in posted:
        own = [name for stream, name in names if stream == registered.stream_id]
        assert (own[0], own[-1], own.count("start"), own.count("end")) == ("start", "end", 1, 1)


async def test_the_cursor_of_a_post_is_just_before_its_start(heart: Heart) -> None:
    """Also of a stream that waits behind others which have still to end."""
    await heart.post(prompt="running")
    (await heart.opened("running")).say("some", "tokens")
    posted = [await heart.post(prompt=str(number)) for number in range(4)]
    await heart.registry.close()
    log = heart.registry.session("s").log
    for registered in posted:
        assert log.before(registered.stream_id) == registered.cursor.seq


async def test_the_cursor_is_exact_while_an_end_is_on_its_way(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that others keep returns from an `end` once they have it. Prompts are taken meanwhile."""
    first = heart.stream(await heart.post())
    log = heart.registry.session("s").log
    append, shown = log.append, asyncio.Event()

    async def slow_append(fence: int, event: Event) -> None:
        await append(fence, event)
        if isinstance(event, End):
            await shown.wait()

    monkeypatch.setattr(log, "append", slow_append)
    (await heart.opened()).finish()
    await until(lambda: heart.stream_ended("s", first.stream_id))
    assert not first.ended.done()
    second = await heart.post(prompt="next")
    shown.set()
    await until(lambda: log.before(second.stream_id) is not None)
    assert log.before(second.stream_id) == second.cursor.seq


async def test_reject_leaves_the_running_stream_alone(heart: Heart) -> None:
    """`if_active: reject` is answered with SessionBusy, and nothing is registered."""
    first = await heart.post()
    with pytest.raises(SessionBusy):
        await heart.post(if_active="reject")
    assert heart.stream(first).cancelled is False
    assert len(await heart.history.messages(OWNER, "s")) == 2


async def test_enqueued_prompts_run_one_after_the_other(heart: Heart) -> None:
    """`if_active: enqueue` cancels nothing, and the second begins when the first has ended."""
    first = heart.stream(await heart.post())
    second = heart.stream(await heart.post(prompt="next", if_active="enqueue"))
    (await heart.opened()).finish()
    assert await first.wait_ended(5)
    assert first.outcome is Outcome.COMPLETE
    (await heart.opened("next")).finish()
    assert await second.wait_ended(5)
    assert second.outcome is Outcome.COMPLETE


class TestSmallQueue:
    """A queue of two."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Room for two."""
        return Bounds(queue_limit=2, viewer_grace=None)

    async def test_a_full_queue_turns_down(self, heart: Heart) -> None:
        """One more is QueueFull, and a superseding prompt still gets through."""
        await heart.post()
        await heart.post(if_active="enqueue")
        with pytest.raises(QueueFull):
            await heart.post(if_active="enqueue")
        newest = heart.stream(await heart.post(prompt="newest"))
        (await heart.opened("newest")).finish()
        assert await newest.wait_ended(5)
        assert newest.outcome is Outcome.COMPLETE


async def test_rollback_drops_the_old_exchange(heart: Heart) -> None:
    """`if_active: rollback` supersedes, and the conversation goes on as if the old prompt had not been."""
    old = heart.stream(await heart.post(prompt="old"))
    await heart.opened("old")
    new = heart.stream(await heart.post(prompt="new", if_active="rollback"))
    assert await old.wait_ended(5)
    generation = await heart.opened("new")
    assert [message.content for message in generation.request.messages] == ["new"]
    generation.finish()
    assert await new.wait_ended(5)
    assert [m.content for m in await heart.history.messages(OWNER, "s") if m.role == "user"] == ["new"]


@pytest.mark.parametrize(("unasked", "left"), [(True, ["new"]), (False, ["old", "new"])])
async def test_rollback_of_an_answer_that_goes_on(heart: Heart, unasked: bool, left: list[str]) -> None:
    """If the server continues it by itself, it is the answer that ran; if its user does, it was there before."""
    old = heart.stream(await heart.post(prompt="old"))
    (await heart.opened("old")).say("half")
    await until(lambda: old.tokens)
    old.signal(Reason.SHUTDOWN)
    assert await old.wait_ended(5)
    again = heart.stream(await heart.post(prompt="", continues=old.answer.message_id, unasked=unasked))
    await until(lambda: len(heart.backend.generations) == 2)
    await heart.post(prompt="new", if_active="rollback")
    assert await again.wait_ended(5)
    generation = await heart.opened("new")
    assert [m.content for m in generation.request.messages if m.role == "user"] == left
    assert [m.content for m in await heart.history.messages(OWNER, "s") if m.role == "user"] == left


async def test_rollback_of_what_another_node_ran(heart: Heart) -> None:
    """The exchanges that it names are gone before the model reads the conversation."""
    old = heart.stream(await heart.post(prompt="old"))
    (await heart.opened("old")).say("half")
    await until(lambda: old.tokens)
    old.signal(Reason.SHUTDOWN)
    assert await old.wait_ended(5)
    await heart.post(prompt="new", if_active="rollback", replaces=[old.stream_id])
    generation = await heart.opened("new")
    assert [message.content for message in generation.request.messages] == ["new"]
    assert [m.content for m in await heart.history.messages(OWNER, "s")] == ["new", ""]


async def test_a_rollback_that_is_not_stored(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, and the prompt is answered all the same."""
    old = heart.stream(await heart.post(prompt="old"))
    old.signal(Reason.SHUTDOWN)
    assert await old.wait_ended(5)

    async def away(_: str) -> None:
        raise HistoryUnavailable("away")

    monkeypatch.setattr(heart.history, "discard", away)
    with capture_logs() as lines:
        new = heart.stream(await heart.post(prompt="new", if_active="rollback", replaces=[old.stream_id]))
        (await heart.opened("new")).finish()
        assert await new.wait_ended(5)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["history_failed"]
    assert new.outcome is Outcome.COMPLETE


async def test_the_model_reads_the_stopped_answer_with_a_mark(heart: Heart) -> None:
    """Earlier messages go to the model, and an answer that broke off says so."""
    first = heart.stream(await heart.post(prompt="one"))
    (await heart.opened("one")).say("half")
    await until(lambda: first.tokens)
    await heart.registry.stop(OWNER, first.stream_id, wait=5)
    await heart.post(prompt="two")
    generation = await heart.opened("two")
    contents = [(message.role, message.content) for message in generation.request.messages]
    assert contents == [
        ("user", "one"),
        ("assistant", "half\n\n[The user stopped this answer here.]"),
        ("user", "two"),
    ]


class TestHangingModel:
    """Models that do not close when they are told to."""

    @pytest.fixture(params=["stubborn", "deaf"])
    def backend(self, request: pytest.FixtureRequest) -> PuppetBackend:
        """One whose close never returns, and one that swallows its cancellation."""
        return PuppetBackend(**{request.param: True})

    async def test_the_next_prompt_runs_within_the_bound(self, heart: Heart) -> None:
        """Past the bound the old stream is fenced, its end says that the upstream was not seen closed."""
        old = heart.stream(await heart.post())
        generation = await heart.opened()
        loop = asyncio.get_running_loop()
        async with lag() as worst:
            asked = loop.time()
            await heart.post(prompt="newer")
            await heart.opened("newer")
            took = loop.time() - asked
        assert took < 5 * heart.registry.bounds.supersede_timeout + LAGS * worst[0]
        assert (old.outcome, old.produced.closed) == (Outcome.SUPERSEDED, False)
        # What a deaf producer still brings is refused: its stream has ended.
        before = heart.names()
        generation.say("too late")
        for _ in range(10):
            await asyncio.sleep(0)
        late = [name for stream, name in heart.names()[len(before) :] if stream == old.stream_id]
        assert late == []
        generation.finish()
        heart.backend.generations[-1].finish()


async def test_a_foreign_cancellation_of_the_conductor_loses_nothing(heart: Heart) -> None:
    """If the loop is torn down around it, the conductor takes up where it was."""
    posted = heart.stream(await heart.post())
    generation = await heart.opened()
    conductor = next(task for task in asyncio.all_tasks() if task.get_name() == "conductor s")
    conductor.cancel()
    await asyncio.wait({conductor})
    generation.say("still here")
    generation.finish()
    assert await posted.wait_ended(5)
    assert (posted.outcome, content(posted)) == (Outcome.COMPLETE, "still here")
    assert [name for _, name in heart.names()].count("start") == 1


async def test_nothing_is_left_after_the_end(heart: Heart) -> None:
    """No task, no stream in line."""
    posted = heart.stream(await heart.post())
    (await heart.opened()).finish()
    assert await posted.wait_ended(5)
    for _ in range(5):
        await asyncio.sleep(0)
    names = {task.get_name().split()[0] for task in asyncio.all_tasks()}
    assert not names & {"conductor", "producer", "register"}
    assert heart.registry.session("s").idle
    assert heart.registry.statistics().active == 0
