"""Taking up what the end of a server has interrupted: when it is tried again, and when it is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Backend, BackendHealth, Model, ModelListing, Options, Unreachable
from app.chat.records import Interrupted
from app.chat.states import Outcome
from app.streams.auto_continue import FRESH, TRIES, AutoContinue
from tests.streams.conftest import OWNER, Heart
from tests.support.waiting import until, until_told


class OneModel:
    """A `Catalog` with the puppet, which may be away for the first few looks."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.away = 0  # looks, still to come

    async def listing(self, *, refresh: bool = False) -> ModelListing:
        assert refresh, "what is known may be from before"
        self.away -= 1
        missing = [Unreachable("puppet", "upstream_unreachable", "Away.")] if self.away >= 0 else []
        return ModelListing(models=[], unreachable=missing, default=None)

    def health(self) -> list[BackendHealth]:
        raise NotImplementedError

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        assert model_id == "puppet/puppet"
        return self.heart.backend, self.heart.backend.model


class Found:
    """What the history is asked for, and what it answers."""

    def __init__(self, heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, Any] = {}
        self.failures = 0
        self.answers: list[Interrupted] = []
        monkeypatch.setattr(heart.history, "interrupted", self._interrupted)

    async def _interrupted(self, **asked: Any) -> Sequence[Interrupted]:
        self.asked = asked
        self.failures -= 1
        if self.failures >= 0:
            raise HistoryUnavailable("Not now.")
        return self.answers


@pytest.fixture
async def found(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> Found:
    """A history with one interrupted answer, `half`."""
    found = Found(heart, monkeypatch)
    posted = await heart.post()
    (await heart.opened()).say("half")
    stream = heart.stream(posted)
    await until(lambda: stream.tokens)
    await heart.registry.stop(OWNER, posted.stream_id, wait=5)
    found.answers.append(Interrupted(OWNER, "s", stream.answer.message_id, "puppet/puppet"))
    return found


def taking_up(heart: Heart, catalog: OneModel, rounds: int = 5) -> AutoContinue:
    """One that pauses for as good as nothing."""
    logger = structlog.get_logger()
    return AutoContinue(
        registry=heart.registry, catalog=catalog, logger=logger, pauses=[0.0] * rounds, now=lambda: 1e9
    )


async def content(heart: Heart) -> tuple[str, Outcome | None]:
    """The text of the answer, and how it ended."""
    answer = (await heart.history.messages(OWNER, "s"))[1]
    return answer.content, answer.outcome


async def test_it_asks_for_what_is_fresh_and_bounded(heart: Heart, found: Found) -> None:
    """The last hour, a few attempts for each, and no more than the server may run at once."""
    await taking_up(heart, OneModel(heart)).run()
    since = datetime.fromtimestamp(1e9, UTC) - FRESH
    limit = heart.registry.bounds.max_streams
    assert found.asked == {"since": since, "tries": TRIES, "limit": limit, "sessions": None}
    assert timedelta(hours=1) == FRESH


async def test_an_answer_goes_on_as_it_was_asked_for(heart: Heart, found: Found) -> None:
    """With the options of its request, not only with those of its session."""
    found.answers[0] = found.answers[0]._replace(options=Options(system="In verse.", seed=7))
    await taking_up(heart, OneModel(heart)).run()
    await until(lambda: len(heart.backend.generations) == 2)
    request = heart.backend.generations[1].request
    assert (request.options.seed, request.messages[0].content) == (7, "In verse.")


async def test_an_answer_goes_on(heart: Heart, found: Found) -> None:
    """From its text, once."""
    await taking_up(heart, OneModel(heart)).run()
    await until(lambda: len(heart.backend.generations) == 2)
    generation = heart.backend.generations[1]
    assert generation.request.messages[-1].content == "half"
    generation.say(" and half")
    generation.finish()

    async def is_complete() -> bool:
        return (await content(heart))[1] is Outcome.COMPLETE

    await until_told(is_complete)
    assert await content(heart) == ("half and half", Outcome.COMPLETE)
    assert found.answers


@pytest.mark.parametrize(("rounds", "taken"), [(5, True), (2, False)])
async def test_a_model_that_is_away_is_waited_for(
    heart: Heart, found: Found, rounds: int, taken: bool
) -> None:
    """For some rounds; then the answer stays for a person to continue."""
    catalog = OneModel(heart)
    catalog.away = 3
    left = await taking_up(heart, catalog, rounds).run()
    assert left == (set() if taken else {"s"})
    assert (heart.registry.session("s").running is not None) == taken
    assert found.answers


async def test_a_history_that_does_not_answer_is_asked_again(heart: Heart, found: Found) -> None:
    """As a database that starts with us may need its time."""
    found.failures = 2
    await taking_up(heart, OneModel(heart)).run()
    assert heart.registry.session("s").running is not None


async def test_a_history_that_never_answers(heart: Heart, found: Found) -> None:
    """Nobody knows in which of the sessions there is something to continue."""
    found.failures = 9
    looking = AutoContinue(
        registry=heart.registry,
        catalog=OneModel(heart),
        logger=structlog.get_logger(),
        pauses=[0.0],
        sessions={"s", "other"},
    )
    assert await looking.run() == {"s", "other"}


async def test_one_that_is_stopped_while_its_model_is_looked_for(
    heart: Heart, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim comes last, so a stop finds it or the prompt."""
    catalog = OneModel(heart)
    resolve, claimed = catalog.resolve, {"s"}

    async def slowly(model_id: str | None) -> tuple[Backend, Model]:
        claimed.discard("s")
        return await resolve(model_id)

    async def claim(session_id: str) -> bool:
        return session_id in claimed

    monkeypatch.setattr(catalog, "resolve", slowly)
    logger = structlog.get_logger()
    await AutoContinue(
        registry=heart.registry, catalog=catalog, logger=logger, pauses=[0.0], claim=claim
    ).run()
    assert heart.registry.session("s").running is None
    assert found.answers


async def test_whoever_went_on_already_has_it(heart: Heart, found: Found) -> None:
    """A newer prompt is neither superseded nor followed by the old answer."""
    newer = heart.stream(await heart.post(prompt="newer"))
    await taking_up(heart, OneModel(heart)).run()
    await heart.opened("newer")
    assert not newer.cancelled
    assert (await content(heart))[0] == "half"
    assert len(heart.backend.generations) == 2
    assert found.answers


async def test_another_answer_that_is_being_written_is_left_alone(heart: Heart, found: Found) -> None:
    """Somebody had the answer regenerated: that one goes on."""
    other = heart.stream(await heart.post(regenerate=found.answers[0].message_id))
    await taking_up(heart, OneModel(heart)).run()
    assert not other.cancelled
    assert heart.registry.session("s").running is other


async def test_a_server_that_ends_takes_up_nothing(heart: Heart, found: Found) -> None:
    """Neither while it drains, nor once the block is left in the middle of a pause."""
    catalog = OneModel(heart)
    catalog.away = 1
    waiting = AutoContinue(
        registry=heart.registry, catalog=catalog, logger=structlog.get_logger(), pauses=[0.0, 1000.0]
    )
    async with waiting.running():
        await until(lambda: catalog.away < 1)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "auto continue"]
    heart.registry.drain()
    await taking_up(heart, OneModel(heart)).run()
    assert len(heart.backend.generations) == 1
    assert found.answers


async def test_nothing_to_go_on_with_asks_nobody(heart: Heart, found: Found) -> None:
    """In a cluster each session that moves is looked at: the model servers must not be asked for each."""
    found.answers.clear()
    catalog = OneModel(heart)
    catalog.away = 3
    await taking_up(heart, catalog).run()
    assert catalog.away == 3
