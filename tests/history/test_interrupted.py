"""What a start finds to go on with: answers that the end of a server has interrupted, and only those."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from app.chat.ports import Options
from app.chat.records import History, Interrupted
from app.chat.states import Outcome
from app.history.opening import FILE, opened
from tests.history.samples import OWNER, continued, ended, exchange
from tests.support.recorder import Recorder

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """An empty history on each database."""
    url = None if request.param == "sqlite" else await request.getfixturevalue("postgres").database()
    async with opened(url, tmp_path, logger=Recorder()) as history:
        yield history


async def found(
    history: History, *, since: datetime = LONG_AGO, tries: int = 3, limit: int = 100
) -> list[str]:
    """The sessions in which there is something to go on with."""
    await history.sessions(OWNER)  # by then everything is on disk
    return [one.session_id for one in await history.interrupted(since=since, tries=tries, limit=limit)]


async def test_only_the_newest_message_of_a_session(history: History) -> None:
    """Not an answer that ended in another way, nor one after which the conversation went on."""
    for session_id, outcome in (
        ("done", Outcome.COMPLETE),
        ("stopped", Outcome.STOPPED),
        ("cut", Outcome.INTERRUPTED),
        ("went-on", Outcome.INTERRUPTED),
    ):
        asked = exchange(session_id)
        await history.admit(asked)
        await history.finish(ended(asked, outcome), "half", "")
    await history.admit(exchange("went-on"))
    await history.admit(exchange("running"))
    assert await found(history) == ["cut"]


async def test_what_it_says_of_an_answer(history: History) -> None:
    """As much as continuing takes."""
    asked = exchange("s", owner="anybody")
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    await history.sessions(OWNER)
    assert await history.interrupted(since=LONG_AGO, tries=3, limit=9) == [
        Interrupted("anybody", "s", asked.answer.message_id, "scripted/story")
    ]


async def test_with_the_options_of_its_request(history: History) -> None:
    """They are not those of the session. Each continuation has its own."""
    options = Options(system="In verse.", temperature=0.5)
    asked = msgspec.structs.replace(exchange(), options=options)
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    assert await found(history) == ["s"]
    [one] = await history.interrupted(since=LONG_AGO, tries=3, limit=9)
    assert one.options == options
    again = continued(asked, (await history.messages(OWNER, "s"))[-1])
    await history.admit(again)
    await history.finish(ended(again, Outcome.INTERRUPTED), "half", "")
    assert await found(history) == ["s"]
    [one] = await history.interrupted(since=LONG_AGO, tries=3, limit=9)
    assert one.options == Options()


@pytest.mark.parametrize(("outcome", "kept"), [(Outcome.COMPLETE, 0), (Outcome.INTERRUPTED, 1)])
async def test_options_stay_no_longer_than_they_are_needed(
    tmp_path: Path, outcome: Outcome, kept: int
) -> None:
    """Nothing counts them as stored."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = msgspec.structs.replace(exchange(), options=Options(seed=1))
        await history.admit(asked)
        await history.finish(ended(asked, outcome), "half", "")
        await history.sessions(OWNER)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        [[count]] = database.execute("SELECT count(request) FROM streams")
    assert count == kept


async def test_only_what_was_written_lately(history: History) -> None:
    """From when it was registered and how long it was written; the latest first, and bounded."""
    asked = [exchange(f"s{number}") for number in range(3)]
    for each in asked:
        await history.admit(each)
        await history.finish(ended(each, Outcome.INTERRUPTED, duration_ms=60_000), "half", "")
    assert await found(history) == ["s2", "s1", "s0"]
    assert await found(history, limit=2) == ["s2", "s1"]
    last = datetime.fromisoformat(asked[2].created_at)
    assert await found(history, since=last + timedelta(seconds=60)) == ["s2"]
    assert await found(history, since=last + timedelta(seconds=61)) == []


async def test_not_what_its_user_has_stopped(history: History) -> None:
    """After it was interrupted; until it is continued by its user, and interrupted again."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    assert await found(history) == ["s"]
    await history.halt("s")
    assert await found(history) == []
    again = continued(asked, (await history.messages(OWNER, "s"))[-1])
    await history.admit(again)
    await history.finish(ended(again, Outcome.INTERRUPTED), "half", "")
    assert await found(history) == ["s"]
    await history.halt("s", asked.stream.stream_id)  # whoever stops the first one means the answer
    assert await found(history) == []


async def test_not_what_was_deleted_in_between(history: History) -> None:
    """The undo brings it back as it was, and nothing goes on in it by itself."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    await history.delete(OWNER, "s", undoable=True)
    assert await found(history) == []
    await history.undelete(OWNER, "s", "s")
    assert await found(history) == []


async def test_not_for_ever(history: History) -> None:
    """An answer that was continued so often is left alone."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    for tries in range(3):
        assert await found(history, tries=tries) == []
        assert await found(history, tries=tries + 1) == ["s"]
        again = continued(asked, (await history.messages(OWNER, "s"))[-1])
        await history.admit(again)
        await history.finish(ended(again, Outcome.INTERRUPTED), "half", "")
