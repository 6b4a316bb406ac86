"""Registering, stopping, deleting, draining; viewers and their grace."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from app.chat.errors import (
    CannotContinue,
    Draining,
    HistoryUnavailable,
    KeyReused,
    SessionNotFound,
    StreamNotFound,
    TooManyStreams,
)
from app.chat.records import Admission, Exchange, StreamState
from app.chat.states import Outcome
from app.chat.submission import Submission
from app.history.memory import MemoryHistory
from app.streams.bounds import Bounds
from app.streams.registry import Registry
from app.streams.stream import Stream
from tests.streams.conftest import OWNER, Heart
from tests.support.puppet import PuppetBackend
from tests.support.waiting import stays, until


async def test_a_repeated_key_registers_nothing(heart: Heart) -> None:
    """The same key with the same request names the same stream, running or ended."""
    first = await heart.post(key="k", request_hash="h")
    again = await heart.post(key="k", request_hash="h")
    assert (again.stream_id, again.cursor, again.new) == (first.stream_id, first.cursor, False)
    with pytest.raises(KeyReused):
        await heart.post(key="k", request_hash="other")
    assert heart.registry.statistics().active == 1


async def test_sessions_of_others_do_not_exist(heart: Heart) -> None:
    """Whoever is not the owner gets not-found, for everything."""
    registered = await heart.post()
    registry = heart.registry
    with pytest.raises(SessionNotFound):
        await heart.post(owner="somebody else")
    with pytest.raises(StreamNotFound):
        await registry.stream_state("somebody else", registered.stream_id)
    with pytest.raises(StreamNotFound):
        await registry.stop("somebody else", registered.stream_id, wait=0)
    with pytest.raises(SessionNotFound):
        await registry.stop_session("somebody else", "s", wait=0)
    with pytest.raises(SessionNotFound):
        await registry.delete_session("somebody else", "s", wait=0)
    assert not heart.stream(registered).cancelled


async def test_a_caller_that_is_cancelled_does_not_cancel_the_registration(heart: Heart) -> None:
    """A dropped POST connection loses nothing."""
    posting = asyncio.create_task(heart.post())
    await asyncio.sleep(0)
    posting.cancel()
    await asyncio.wait({posting})
    generation = await heart.opened()
    generation.finish()
    await until(lambda: heart.registry.statistics().ended.get("complete") == 1)


async def test_stopping_an_ended_stream_tells_how_it_ended(heart: Heart) -> None:
    """A stop that comes too late changes nothing."""
    registered = await heart.post()
    stream = heart.stream(registered)
    (await heart.opened()).finish()
    assert await stream.wait_ended(5)
    state = await heart.registry.stop(OWNER, registered.stream_id, wait=1)
    assert (state.outcome, state.upstream_closed) == (Outcome.COMPLETE, True)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_stop_that_meets_a_session_on_its_way(heart: Heart, whole: bool, stubborn: bool) -> None:
    """The answer was interrupted before, or is about to be: the next owner continues it only for its user."""
    heart.backend.stubborn = stubborn
    posted = await heart.post()
    (await heart.opened()).say("half")
    stream = heart.stream(posted)
    await until(lambda: stream.tokens)
    heart.registry.session("s").move()
    if whole:
        state = await heart.registry.stop_session(OWNER, "s", wait=0 if stubborn else 5)
    else:
        state = await heart.registry.stop(OWNER, posted.stream_id, wait=0 if stubborn else 5)
    assert state is not None
    assert state.outcome is (None if stubborn else Outcome.INTERRUPTED)
    await heart.registry.retire("s", wait=0)
    with pytest.raises(CannotContinue):
        await heart.post(continues=stream.answer.message_id, unasked=True)
    await heart.post(continues=stream.answer.message_id)


async def interrupted(heart: Heart) -> Stream:
    """Return a stream that has ended as its server or its session left."""
    posted = await heart.post()
    (await heart.opened()).say("half")
    stream = heart.stream(posted)
    await until(lambda: stream.tokens)
    await heart.registry.retire("s", wait=5)
    assert stream.outcome is Outcome.INTERRUPTED
    return stream


async def test_a_stop_of_what_the_server_has_continued(heart: Heart) -> None:
    """Whoever stops an answer does not know that another stream writes it by now."""
    stream = await interrupted(heart)
    unasked = await heart.post(continues=stream.answer.message_id, unasked=True)
    generation = await heart.opened("half")
    state = await heart.registry.stop(OWNER, stream.stream_id, wait=5)
    assert (state.stream_id, state.outcome) == (unasked.stream_id, Outcome.STOPPED)
    assert (state.upstream_closed, generation.is_open) == (True, False)


async def test_a_stop_of_what_its_user_has_continued(heart: Heart) -> None:
    """It stops this stream, and no other."""
    stream = await interrupted(heart)
    asked = heart.stream(await heart.post(continues=stream.answer.message_id))
    state = await heart.registry.stop(OWNER, stream.stream_id, wait=5)
    assert (state.stream_id, state.outcome) == (stream.stream_id, Outcome.INTERRUPTED)
    assert not asked.cancelled


@pytest.mark.parametrize("whole", [False, True])
async def test_a_stop_of_what_the_server_is_about_to_continue(
    heart: Heart, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """It was admitted before the stop, and runs only afterwards."""
    stream = await interrupted(heart)
    admit, admitted, goes_on = heart.history.admit, asyncio.Event(), asyncio.Event()

    async def slowly(exchange: Exchange) -> Admission:
        admission = await admit(exchange)
        admitted.set()
        await goes_on.wait()
        return admission

    monkeypatch.setattr(heart.history, "admit", slowly)
    posting = asyncio.create_task(heart.post(continues=stream.answer.message_id, unasked=True))
    await admitted.wait()
    registry = heart.registry
    stop = (
        registry.stop_session(OWNER, "s", wait=5) if whole else registry.stop(OWNER, stream.stream_id, wait=5)
    )
    stopping: asyncio.Task[StreamState | None] = asyncio.ensure_future(stop)
    await asyncio.sleep(0)
    goes_on.set()
    state = await stopping
    assert state is not None
    assert (state.stream_id, state.outcome) == ((await posting).stream_id, Outcome.STOPPED)


async def test_a_stop_just_before_the_server_continues(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for what runs and the note that it is not to be continued."""
    stream = await interrupted(heart)
    halt, halting = heart.history.halt, asyncio.Event()

    async def slowly(session_id: str, stream_id: str | None = None) -> None:
        halting.set()
        await until(lambda: heart.registry.find("s") is not None)
        await halt(session_id, stream_id)

    monkeypatch.setattr(heart.history, "halt", slowly)
    stopping = asyncio.create_task(heart.registry.stop_session(OWNER, "s", wait=5))
    await halting.wait()
    unasked = await heart.post(continues=stream.answer.message_id, unasked=True)
    state = await stopping
    assert state is not None
    assert (state.stream_id, state.outcome) == (unasked.stream_id, Outcome.STOPPED)


async def test_a_deleted_session_is_gone_and_its_name_free(heart: Heart) -> None:
    """Its stream is stopped, its messages are forgotten, and a new log has a greater epoch."""
    registered = await heart.post()
    stream = heart.stream(registered)
    old_epoch = registered.cursor.epoch
    await heart.opened()
    await heart.registry.delete_session(OWNER, "s", wait=5)
    assert stream.outcome is Outcome.STOPPED
    with pytest.raises(SessionNotFound):
        await heart.history.messages(OWNER, "s")
    again = await heart.post()
    assert again.cursor.epoch > old_epoch


async def test_draining_takes_no_new_prompts_and_ends_the_rest(heart: Heart) -> None:
    """`close` ends what runs as interrupted."""
    stream = heart.stream(await heart.post())
    await heart.opened()
    await heart.registry.close()
    assert stream.outcome is Outcome.INTERRUPTED
    with pytest.raises(Draining):
        await heart.post(session_id="other")


async def test_draining_waits_for_what_finishes_in_time(heart: Heart) -> None:
    """With patience a running answer completes."""
    stream = heart.stream(await heart.post())
    generation = await heart.opened()
    closing = asyncio.create_task(heart.registry.close(patience=5))
    await asyncio.sleep(0)
    generation.finish()
    await closing
    assert stream.outcome is Outcome.COMPLETE


class TestFullServer:
    """Room for one."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """One stream at a time."""
        return Bounds(max_streams=1, viewer_grace=None)

    async def test_another_session_is_turned_down_and_the_same_is_not(self, heart: Heart) -> None:
        """A newer prompt takes its predecessor's place, so it adds nothing."""
        await heart.post()
        with pytest.raises(TooManyStreams):
            await heart.post(session_id="other")
        assert await heart.history.check(OWNER, "other") is False
        await heart.post(prompt="newer")


class TestGrace:
    """What becomes of a stream that nobody watches."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Hardly any grace."""
        return Bounds(viewer_grace=0.0, arrival_grace=0.05)

    async def test_a_stream_that_nobody_comes_to_see_is_abandoned(self, heart: Heart) -> None:
        """After the time to arrive it ends abandoned."""
        stream = heart.stream(await heart.post())
        assert await stream.wait_ended(5)
        assert stream.outcome is Outcome.ABANDONED

    async def test_a_stream_is_abandoned_with_its_last_viewer(self, heart: Heart) -> None:
        """One of two may leave; with the second the stream ends."""
        stream = heart.stream(await heart.post())
        session = heart.registry.session("s")
        for viewer in ("one", "two"):
            session.viewer_came(viewer, lambda: None)
        session.viewer_left("one")
        await stays(lambda: not stream.cancelled, during=0.1)  # longer than every grace here
        session.viewer_left("two")
        assert await stream.wait_ended(5)
        assert stream.outcome is Outcome.ABANDONED


class TestStopOfASession:
    """A stop whose predecessor does not let go, while another prompt is on its way."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """A bound that is not reached here."""
        return Bounds(supersede_timeout=60.0, close_timeout=60.0, viewer_grace=None)

    @pytest.fixture
    def backend(self) -> PuppetBackend:
        """A model that never closes."""
        return PuppetBackend(stubborn=True)

    @pytest.mark.slow
    async def test_it_waits_once(self, heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
        """For the prompt and for the end together no longer than it was asked to."""
        await heart.post()
        await heart.opened()
        reached, admitted = asyncio.Event(), asyncio.Event()

        async def admit(_: object) -> None:
            reached.set()
            await admitted.wait()

        monkeypatch.setattr(heart.history, "admit", admit)
        late = asyncio.create_task(heart.post(if_active="enqueue"))
        await reached.wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        state = await heart.registry.stop_session(OWNER, "s", wait=1.5)
        assert loop.time() - began < 2.9  # seconds; two waits take 3 at least
        assert state is not None
        assert state.outcome is None
        late.cancel()
        admitted.set()


async def test_prompts_wait_together_for_what_is_away(bounds: Bounds) -> None:
    """In a cluster, for Redis: not one after the other, each with a bound of its own. Then all are refused."""
    waiting, over = 0, asyncio.Event()

    async def prepare(_session_id: str) -> None:
        nonlocal waiting
        waiting += 1
        await over.wait()
        raise HistoryUnavailable("Redis does not respond.")

    backend = PuppetBackend()
    registry = Registry(
        history=MemoryHistory(), bounds=bounds, logger=structlog.get_logger(), prepare=prepare
    )
    ask = Submission(owner=OWNER, session_id="s", prompt="hello", model=backend.model, backend=backend)
    asking = [asyncio.create_task(registry.register(ask)) for _ in range(3)]
    await until(lambda: waiting == 3)
    over.set()
    for refused in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(refused, HistoryUnavailable)
    assert registry.find("s") is None
    await registry.close()


async def test_a_stop_applies_to_prompts_that_still_wait(bounds: Bounds) -> None:
    """They came before it."""
    asked, over = asyncio.Event(), asyncio.Event()

    async def prepare(_session_id: str) -> None:
        asked.set()
        await over.wait()

    backend = PuppetBackend()
    registry = Registry(
        history=MemoryHistory(), bounds=bounds, logger=structlog.get_logger(), prepare=prepare
    )
    ask = Submission(owner=OWNER, session_id="s", prompt="hello", model=backend.model, backend=backend)
    over.set()
    first = await registry.register(ask)
    await registry.stop(OWNER, first.stream_id, wait=5)
    asked.clear()
    over.clear()
    posting = asyncio.create_task(registry.register(ask))
    await asked.wait()
    stopping = asyncio.create_task(registry.stop_session(OWNER, "s", wait=5))
    await asyncio.sleep(0)
    over.set()
    state = await stopping
    assert state is not None
    assert (state.stream_id, state.outcome) == ((await posting).stream_id, Outcome.STOPPED)
    await registry.close()
