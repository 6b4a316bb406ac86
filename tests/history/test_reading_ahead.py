"""The transaction that admits a prompt reads what its model request needs, if that is short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.chat.contents import Image
from app.chat.errors import SessionNotFound
from app.chat.ports import ImageData, Options
from app.chat.records import Exchange
from app.chat.states import Outcome
from app.history.database import T, Work
from app.history.opening import FILE
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.statements import ahead
from app.history.write_queue import ahead as kept
from app.history.write_queue.changes import (
    Admit,
    Begin,
    Change,
    Configure,
    Delete,
    Fill,
    Finish,
    Hide,
    Prune,
    Rename,
    session_of,
)
from tests.history.samples import OWNER, ended, exchange
from tests.support.recorder import Recorder
from tests.support.waiting import until

MOST = 500  # messages that a model request asks for


class Counting(SqliteDatabase):
    """Counts the transactions that read, and those that were committed, whose result may be held back."""

    reads = 0
    commits = 0
    held: asyncio.Event | None = None  # set once the result may come

    async def write(self, work: Work[T], *, long: bool = False) -> T:
        done = await super().write(work, long=long)
        self.commits += 1
        if self.held is not None:
            await self.held.wait()
        return done

    async def read(self, work: Work[T]) -> T:
        self.reads += 1
        return await super().read(work)


class Bench:
    """A history, and its database that counts."""

    def __init__(self, database: Counting, history: SqlHistory) -> None:
        self.database = database
        self.history = history

    async def ask(
        self, *, answer: str | None = "hello", prompt: str = "hi", session_id: str = "s"
    ) -> Exchange:
        """Admit a prompt, and end its answer."""
        asked = exchange(session_id, prompt)
        await self.history.admit(asked)
        if answer is not None:
            await self.history.finish(ended(asked, Outcome.COMPLETE), answer, "")
        return asked

    async def near(self, asked: Exchange) -> tuple[list[tuple[str, str]], int]:
        """Return the roles and texts that a model request reads, and how many transactions that took."""
        before = self.database.reads
        found = await self.history.near(OWNER, asked.session_id, asked.prompt.message_id, MOST)
        return [(message.role, message.content) for message in found], self.database.reads - before


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A new database."""
    async with (
        Counting.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        assert isinstance(database, Counting)
        yield Bench(database, history)


async def test_a_model_request_reads_nothing_more(bench: Bench) -> None:
    """What the admission read is what a read would return, and is given once."""
    await bench.ask()
    asked = await bench.ask(answer=None)
    first, reads = await bench.near(asked)
    assert reads == 0
    assert first == [("user", "hi"), ("assistant", "hello"), ("user", "hi"), ("assistant", "")]
    again, reads = await bench.near(asked)
    assert (again, reads) == (first, 1)


async def test_an_answer_that_ends_meanwhile_is_complete(bench: Bench) -> None:
    """A prompt that waits behind an answer is admitted before that answer is on disk."""
    running = await bench.ask(answer=None)
    asked = await bench.ask(answer=None)
    await bench.history.finish(ended(running, Outcome.STOPPED), "so far", "")
    found, reads = await bench.near(asked)
    assert (found[1], reads) == (("assistant", "so far"), 0)


async def test_what_is_rolled_back_meanwhile_is_left_out(bench: Bench) -> None:
    """As in every read."""
    first = await bench.ask(answer=None)
    asked = await bench.ask(answer=None)
    await bench.history.discard(first.stream.stream_id)
    found, _ = await bench.near(asked)
    assert [role for role, _ in found] == ["user", "assistant"]


@pytest.mark.parametrize(("renamed", "reads"), [("s", 1), ("other", 0)])
async def test_a_change_of_the_session_forgets_it(bench: Bench, renamed: str, reads: int) -> None:
    """Others keep it."""
    await bench.ask(session_id="other")
    await bench.ask()
    asked = await bench.ask(answer=None)
    await bench.history.rename(OWNER, renamed, "new")
    found = await bench.near(asked)
    assert (len(found[0]), found[1]) == (4, reads)


async def test_a_change_that_names_no_session_forgets_all(bench: Bench) -> None:
    """The stream that a discard names may be of any session."""
    stream_id = (await bench.ask(answer=None)).stream.stream_id
    asked = await bench.ask(answer=None)
    await bench.history.withdraw(stream_id)
    found, reads = await bench.near(asked)
    assert (len(found), reads) == (2, 1)


async def test_the_oldest_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt whose stream never asks its model leaves its conversation behind."""
    monkeypatch.setattr(kept, "MOST_KEPT", 1)
    asked = []
    for session_id in ("a", "b"):
        await bench.ask(session_id=session_id)
        asked.append(await bench.ask(answer=None, session_id=session_id))
    reads = [(await bench.near(each))[1] for each in asked]
    assert reads == [1, 0]


@pytest.mark.parametrize(
    "change",
    [
        Admit(exchange()),
        Finish(ended(exchange()), "", "", ""),
        Rename(OWNER, "s", ""),
        Configure(OWNER, "s", Options()),
        Delete(OWNER, "s"),
        Begin("s", OWNER),
        Fill("s", (), ()),
        Hide(OWNER, "s"),
        Prune("s"),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_change_is_of_its_session(change: Change) -> None:
    """As far as it names one."""
    assert session_of(change) == "s"


async def test_a_transaction_that_runs_has_forgotten_it(bench: Bench) -> None:
    """It may be on disk already although nobody here knows."""
    await bench.ask()
    asked = await bench.ask(answer=None)
    bench.database.held, before = asyncio.Event(), bench.database.commits
    renaming = asyncio.create_task(bench.history.rename(OWNER, "s", "new"))
    await until(lambda: bench.database.commits > before)
    _, reads = await bench.near(asked)
    assert reads == 1
    bench.database.held.set()
    await renaming


async def test_it_is_of_the_owner_alone(bench: Bench) -> None:
    """As in every read."""
    await bench.ask()
    asked = await bench.ask(answer=None)
    with pytest.raises(SessionNotFound):
        await bench.history.near("other", "s", asked.prompt.message_id, MOST)


async def test_images_are_part_of_it(bench: Bench) -> None:
    """The pictures of earlier prompts go to the model, too."""
    picture = ImageData("image/gif", b"GIF")
    first = exchange(pictures=[picture])
    first.prompt.images = [Image("picture", picture.media_type, len(picture.data))]
    await bench.history.admit(first)
    asked = await bench.ask(answer=None)
    found = await bench.history.near(OWNER, "s", asked.prompt.message_id, MOST)
    assert found[0].images == first.prompt.images
    assert found == await bench.history.near(OWNER, "s", asked.prompt.message_id, MOST)


@pytest.mark.parametrize("limit", ["MOST_SESSIONS", "MOST_MESSAGES", "MOST_BYTES"])
async def test_what_is_long_or_many_is_read_later(
    bench: Bench, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other prompts wait for the transaction, so it reads little."""
    monkeypatch.setattr(ahead, limit, 0)
    await bench.ask()
    found, reads = await bench.near(await bench.ask(answer=None))
    assert (len(found), reads) == (4, 1)
