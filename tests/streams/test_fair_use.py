"""What one owner may use at once. The owner `local` may use everything."""

from __future__ import annotations

import asyncio

import pytest

from app.chat.errors import KeyReused, Limited, OwnerPrompts, OwnerStreams
from app.chat.scoped_ids import LOCAL
from app.streams.bounds import Bounds
from app.streams.counters import Counters
from app.streams.fair_use import LONGEST_DELAY, REFUSALS, REFUSALS_PER_SECOND, SWEEP, FairUse
from tests.streams.conftest import OWNER, Heart
from tests.support.waiting import until


class TestStreams:
    """Two running streams."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Two for each owner."""
        return Bounds(owner_streams=2, viewer_grace=None)

    async def test_one_too_many_is_refused_before_it_is_stored(self, heart: Heart) -> None:
        """The sentence and `retry_after` say what to do; others are not concerned."""
        for session_id in "ab":
            await heart.post(session_id)
        with pytest.raises(OwnerStreams, match="2 answers in progress") as refusal:
            await heart.post("c")
        assert refusal.value.retry_after >= 1
        assert await heart.history.check(OWNER, "c") is False
        await heart.post("d", owner="somebody else")

    async def test_a_newer_prompt_is_no_further_stream(self, heart: Heart) -> None:
        """Neither one that supersedes nor one that waits in its chat."""
        for session_id in "ab":
            await heart.post(session_id)
        for if_active in ("supersede", "enqueue", "rollback"):
            await heart.post("a", prompt=if_active, if_active=if_active)

    async def test_prompts_that_come_at_once_are_counted_one_by_one(self, heart: Heart) -> None:
        """All pass the first look; the second one is made with the claim, and what was stored is withdrawn."""
        posts = [heart.post(f"s{number}") for number in range(10)]
        results = await asyncio.gather(*posts, return_exceptions=True)
        assert sum(isinstance(result, OwnerStreams) for result in results) == 8
        assert heart.registry.statistics().active == 2
        assert len((await heart.history.sessions(OWNER)).sessions) == 2

    async def test_an_ended_stream_makes_room(self, heart: Heart) -> None:
        """However it ended."""
        for session_id in "ab":
            await heart.post(session_id, prompt=session_id)
        await heart.registry.stop_session(OWNER, "a", wait=5)
        await heart.post("c")
        (await heart.opened("b")).finish()
        await until(lambda: heart.registry.statistics().active == 1)
        await heart.post("d")
        await heart.registry.delete_session(OWNER, "d", wait=5)
        await heart.post("e")

    async def test_the_only_owner_of_a_server_has_no_limit(self, heart: Heart) -> None:
        """There is nobody to be fair to."""
        for number in range(5):
            await heart.post(f"s{number}", owner=LOCAL)

    async def test_a_repeated_key_is_answered_at_the_limit(self, heart: Heart) -> None:
        """It registers nothing, so it needs no room."""
        first = await heart.post("a", key="k", request_hash="h")
        await heart.post("b")
        again = await heart.post("a", key="k", request_hash="h")
        assert (again.stream_id, again.new) == (first.stream_id, False)
        with pytest.raises(KeyReused):
            await heart.post("a", key="k", request_hash="other")


class TestPrompts:
    """Three prompts a minute."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Three for each owner."""
        return Bounds(owner_prompts_per_minute=3, viewer_grace=None)

    async def test_one_too_many_within_a_minute_is_refused(self, heart: Heart) -> None:
        """Also in the same chat; `retry_after` is when the oldest is a minute old."""
        for number in range(3):
            await heart.post(prompt=str(number))
        with pytest.raises(OwnerPrompts) as refusal:
            await heart.post(prompt="3")
        assert 55 <= refusal.value.retry_after <= 60
        assert len(await heart.history.messages(OWNER, "s")) == 6
        await heart.post("other", owner="somebody else")

    async def test_a_repeated_key_uses_up_nothing(self, heart: Heart) -> None:
        """Ten repetitions are one prompt."""
        for _ in range(10):
            await heart.post(key="k", request_hash="h")
        for number in range(2):
            await heart.post(prompt=str(number))
        with pytest.raises(OwnerPrompts):
            await heart.post(prompt="one too many")

    async def test_a_refused_prompt_uses_up_nothing(self, heart: Heart) -> None:
        """Whoever was told that a chat is busy may still ask three times."""
        await heart.post(prompt="0")
        for _ in range(5):
            with pytest.raises(Exception, match="in progress"):
                await heart.post(prompt="1", if_active="reject")
        for number in range(2):
            await heart.post(prompt=str(number))


async def test_after_the_time_that_was_named_the_prompt_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a second earlier, and exactly then."""
    fair = FairUse(Bounds(owner_prompts_per_minute=2), Counters(lambda: 0.0))
    loop, now = asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(loop, "time", lambda: now[0])
    for _ in range(2):
        fair.check(OWNER, adds_load=True)
        fair.count(OWNER)
        now[0] += 20.5
    with pytest.raises(Limited) as refusal:
        fair.check(OWNER, adds_load=False)
    assert refusal.value.retry_after == 19
    now[0] += 19
    fair.check(OWNER, adds_load=False)
    monkeypatch.undo()


async def test_owners_who_have_left_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand owners with one prompt each do not stay in memory."""
    fair = FairUse(Bounds(owner_prompts_per_minute=2), Counters(lambda: 0.0))
    loop, now = asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(loop, "time", lambda: now[0])
    for number in range(10_000):
        fair.count(f"owner {number}")
        now[0] += 1.0
    assert fair.owners <= SWEEP
    monkeypatch.undo()


async def test_a_flood_of_refused_prompts_is_answered_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refusals come at once, later ones at a bounded rate, and none waits longer than its bound."""
    fair = FairUse(Bounds(), Counters(lambda: 0.0))
    loop, now = asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(loop, "time", lambda: now[0])
    delays = [fair.delay(OWNER) for _ in range(1000)]
    assert delays[:REFUSALS] == [0.0] * REFUSALS
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY
    assert fair.delay("somebody else") == fair.delay(LOCAL) == 0.0
    now[0] += LONGEST_DELAY + REFUSALS / REFUSALS_PER_SECOND + 1
    assert fair.delay(OWNER) == 0.0
    monkeypatch.undo()
