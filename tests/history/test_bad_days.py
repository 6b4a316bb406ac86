"""Databases that are locked, full, away, or refuse something: who is told, and what is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from app.chat.errors import HistoryUnavailable, StreamNotFound
from app.chat.growing_text import GrowingText
from app.chat.records import Admission, Exchange, History, KnownKey
from app.chat.states import Outcome
from app.history import sqlite
from app.history.database import T, Work
from app.history.opening import FILE, opened
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.write_queue import queue, writer
from tests.history.files import rows
from tests.history.samples import OWNER, ended, exchange
from tests.support.postgres import Postgres
from tests.support.recorder import Recorder
from tests.support.waiting import stays, until, until_told

FINISHED = "SELECT count(*) FROM streams WHERE outcome = 'complete'"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes to the file and does not come to an end."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, where a test is about what comes after them."""
    monkeypatch.setattr(sqlite, "PATIENCE", 0.1)
    monkeypatch.setattr(writer, "SLOWEST", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_locked_file_takes_no_prompts_and_loses_no_answers(tmp_path: Path) -> None:
    """New prompts are refused and leave nothing behind; what ends meanwhile is read at once and written later."""
    logger = Recorder()
    async with opened(None, tmp_path, logger=logger) as history:
        running = exchange()
        await history.admit(running)
        with locked(tmp_path):
            refused = exchange(prompt="refused", key="k", request_hash="h")
            with pytest.raises(HistoryUnavailable):
                await history.admit(refused)
            await history.finish(ended(running), "kept", "")
            assert [message.content for message in await history.messages(OWNER, "s")] == ["hello", "kept"]
            assert await history.known_key(OWNER, "s", "k") is None
            with pytest.raises(StreamNotFound):
                await history.stream(OWNER, refused.stream.stream_id)
            await until(lambda: "history_unavailable" in logger.events)
            assert rows(tmp_path, FINISHED) == [(0,)]
        await until(lambda: rows(tmp_path, FINISHED) == [(1,)])
        await history.admit(exchange(prompt="accepted"))
        said = [message.content for message in await history.messages(OWNER, "s")]
        assert said == ["hello", "kept", "accepted", ""]
    assert logger.events.count("history_unavailable") == logger.events.count("history_available") == 1


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_is_back_is_found_out_without_a_prompt(tmp_path: Path) -> None:
    """What was refused is nobody's to write any more, and a server that is not ready may get no other prompt."""
    logger = Recorder()
    async with opened(None, tmp_path, logger=logger) as history:
        with locked(tmp_path):
            with pytest.raises(HistoryUnavailable):
                await history.admit(exchange())
            assert history.load().failing
            assert history.load().changes == 0
            await stays(lambda: history.load().failing, during=0.3)
        await until(lambda: not history.load().failing)
        assert logger.events.count("history_available") == 1
        assert logger.events.count("history_unavailable") == 1


@pytest.mark.usefixtures("impatient")
async def test_a_full_disk_takes_no_prompts_and_loses_no_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, when the file cannot grow; it goes on as soon as there is room."""
    pages = 48
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, f"max_page_count = {pages}"))
    async with (
        SqliteDatabase.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        running = exchange()
        await history.admit(running)
        await history.finish(ended(running), "x" * 4096 * pages, "")
        await stays(lambda: rows(tmp_path, FINISHED) == [(0,)], during=2 * writer.TICK)  # it is tried again
        with pytest.raises(HistoryUnavailable):
            await history.admit(exchange(prompt="y" * 4096 * pages))
        _, answer = await history.messages(OWNER, "s")
        assert answer.content == "x" * 4096 * pages
        assert rows(tmp_path, FINISHED) == [(0,)]
        make_room(database)
        await until(lambda: rows(tmp_path, FINISHED) == [(1,)])
        await history.admit(exchange(prompt="accepted"))
    assert rows(tmp_path, "SELECT count(*) FROM messages WHERE content LIKE 'y%'") == [(0,)]


def make_room(database: SqliteDatabase) -> None:
    """Lift the limit on the size of the file, which each connection has for itself."""
    connections = [database.engine.connect() for _ in range(2)]
    for connection in connections:
        connection.execute(text("PRAGMA max_page_count = 100000"))
    for connection in connections:
        connection.close()


async def test_a_database_that_keeps_silent_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits is told after a while; if the prompt was kept after all, it is taken back."""
    monkeypatch.setattr(writer, "WAIT", 0.2)
    silence = asyncio.Event()
    silence.set()

    class Silent(SqliteDatabase):
        async def write(self, work: Work[T], *, long: bool = False) -> T:
            done = await super().write(work, long=long)
            await silence.wait()
            return done

    async with Silent.opened(tmp_path / FILE) as database, SqlHistory.on(database, Recorder()) as history:
        silence.clear()
        in_doubt, behind = exchange("a"), exchange("b")
        outcomes = await asyncio.gather(
            history.admit(in_doubt), history.admit(behind), return_exceptions=True
        )
        assert [isinstance(outcome, HistoryUnavailable) for outcome in outcomes] == [True, True]
        assert [await history.messages(OWNER, session_id) for session_id in "ab"] == [[], []]
        silence.set()
        await until(lambda: rows(tmp_path, "SELECT count(*) FROM sessions") == [(0,)])


async def test_what_a_database_refuses_holds_up_nothing_else(tmp_path: Path) -> None:
    """One change that cannot be kept is logged; those beside it are kept."""
    logger = Recorder()
    async with opened(None, tmp_path, logger=logger) as history:
        asked = [exchange(f"s{number}") for number in range(3)]
        await asyncio.gather(*map(history.admit, asked))
        for each in asked:
            tokens = 2**70 if each is asked[1] else 1
            await history.finish(ended(each, tokens=tokens), "said", "")
        await until(lambda: rows(tmp_path, FINISHED) == [(2,)])
        await until(lambda: "history_change_lost" in logger.events)
        await history.admit(exchange())


async def test_a_key_is_kept_once(tmp_path: Path) -> None:
    """Of two prompts with one key in a batch, the first is admitted; the other is told of it, and leaves nothing."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = [exchange(prompt=str(number), key="k", request_hash="h") for number in range(2)]
        outcomes = await asyncio.gather(*map(history.admit, asked))
        assert outcomes == [Admission(), Admission(known=KnownKey(asked[0].stream.stream_id, "h"))]
        assert [message.content for message in await history.messages(OWNER, "s")] == ["0", ""]


@pytest.mark.usefixtures("impatient")
async def test_the_backlog_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away for long does not take all the memory: past the bound an answer is refused."""
    monkeypatch.setattr(queue, "BACKLOG_BYTES", 10_000)
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = [exchange(f"s{number}") for number in range(20)]
        await asyncio.gather(*map(history.admit, asked))
        with locked(tmp_path):
            kept = [await tried(history, each) for each in asked]
        taken = sum(kept)
        assert 0 < taken < len(asked)
        await until(lambda: rows(tmp_path, FINISHED) == [(taken,)])


async def tried(history: History, asked: Exchange) -> bool:
    """Finish an answer; tell whether that was accepted."""
    try:
        await history.finish(ended(asked), "x" * 1000, "")
    except HistoryUnavailable:
        return False
    return True


async def test_readers_that_leave_in_the_middle_break_nothing(tmp_path: Path) -> None:
    """A request that is cancelled at any moment of its read gives its connection back."""
    async with (
        SqliteDatabase.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        await history.admit(exchange())
        for number in range(60):
            reading = asyncio.create_task(history.conversation(OWNER, "s"))
            for _ in range(number % 30):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
        everybody = [history.conversation(OWNER, "s") for _ in range(20)]
        assert all(len(found.messages) == 2 for found in await asyncio.gather(*everybody))


async def test_a_postgresql_that_restarts_loses_nothing(postgres: Postgres, tmp_path: Path) -> None:
    """While it is away prompts are refused and answers wait; then everything goes on over new connections."""
    url = await postgres.database()
    logger = Recorder()
    async with opened(url, tmp_path, logger=logger) as history:
        running, grown = exchange(), exchange("grown")
        await history.admit(running)
        await history.admit(grown)
        texts = GrowingText()
        history.follow(grown.stream.stream_id, texts, GrowingText())
        postgres.stop()
        try:
            with pytest.raises(HistoryUnavailable):
                await history.admit(exchange("new"))
            with pytest.raises(HistoryUnavailable):
                await history.session(OWNER, "s")
            texts.add(["a", "b"])
            await history.finish(ended(running), "kept", "")
            assert (await history.stream(OWNER, running.stream.stream_id)).outcome is Outcome.COMPLETE
        finally:
            postgres.start()
        await accepted(lambda: history.admit(exchange("new")))
        await history.finish(ended(grown), "ab", "")
    async with opened(url, tmp_path, logger=Recorder()) as history:
        assert (await history.messages(OWNER, "s"))[1].content == "kept"
        assert (await history.messages(OWNER, "grown"))[1].content == "ab"
        assert await history.check(OWNER, "new") is True
    assert "history_unavailable" in logger.events


async def accepted(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try until it is accepted, as a client does that was asked to."""

    async def is_accepted() -> bool:
        try:
            await attempt()
        except HistoryUnavailable:
            return False
        return True

    await until_told(is_accepted, within=20)
