"""The undo of a deletion in every `History`: nothing is seen of a deleted session, and for a while it can come back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from app.chat import undo
from app.chat.archive import Archive
from app.chat.errors import (
    BeingDeleted,
    ImageNotFound,
    NothingToRestore,
    SessionNotFound,
    StorageFull,
    StreamNotFound,
)
from app.chat.quotas import MESSAGE_BYTES, StorageLimits, Usage
from app.chat.records import Admission, History
from app.chat.scoped_ids import scoped
from app.chat.states import Outcome
from app.history import expiry, sql
from app.history.opening import FILE, MEMORY, opened
from app.history.sql import SqlHistory
from app.history.statements import archive as archive_statements
from app.history.statements import make_way
from app.history.statements.tables import HIDDEN
from app.history.write_queue.changes import BringBack, Change
from app.history.write_queue.queue import InDoubt
from app.history.write_queue.writer import Writer
from tests.history.archives import archive, message
from tests.history.files import rows
from tests.history.samples import OWNER, ended, exchange
from tests.support.recorder import Recorder
from tests.support.waiting import until, until_told

TABLES = ("sessions", "messages", "streams", "pieces", "keys", "images", "deleted", "usage")
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


async def deleted(history: History, *, owner: str = OWNER, **more: Any) -> Archive:
    """Store a session with one of each kind of thing, and delete it."""
    kept = archive(**more)
    await history.restore(owner, kept)
    await history.delete(owner, kept.session_id, undoable=True)
    return kept


async def back(history: History, session_id: str, owner: str = OWNER) -> str:
    """Bring a session back; return its id."""
    back_as = await history.restorable(owner, session_id)
    await history.undelete(owner, session_id, back_as)
    return back_as


async def final(history: History, session_id: str, owner: str = OWNER) -> None:
    """See that a session cannot be restored."""
    with pytest.raises(NothingToRestore):
        await history.restorable(owner, session_id)
    with pytest.raises(NothingToRestore):
        await history.undelete(owner, session_id, session_id)


async def test_nothing_is_seen_of_a_deleted_session(history: History) -> None:
    """Neither it nor anything in it; it counts for nobody."""
    kept = await deleted(history)
    session_id, [picture, _] = kept.session_id, kept.messages[0].images
    for read in (
        lambda: history.session(OWNER, session_id),
        lambda: history.conversation(OWNER, session_id),
        lambda: history.archive(OWNER, session_id),
        lambda: history.rename(OWNER, session_id, "another"),
        lambda: history.delete(OWNER, session_id, undoable=True),
    ):
        with pytest.raises(SessionNotFound):
            await read()
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, kept.streams[0].stream_id)
    with pytest.raises(ImageNotFound):
        await history.image(OWNER, picture.image_id)
    with pytest.raises(ImageNotFound):
        await history.image_sizes(OWNER, [picture.image_id])
    assert await history.check(OWNER, session_id) is False
    assert await history.known_key(OWNER, session_id, "key") is None
    assert (await history.sessions(OWNER)).sessions == []
    assert (await history.sessions(OWNER, query="hello")).sessions == []
    assert await history.usage(OWNER) == Usage()


async def test_it_comes_back_as_it_was(history: History) -> None:
    """With all that it had, and once only."""
    kept = archive()
    await history.restore(OWNER, kept)
    before = await history.usage(OWNER)
    await history.delete(OWNER, kept.session_id, undoable=True)
    assert await back(history, kept.session_id) == kept.session_id
    assert await history.archive(OWNER, kept.session_id) == kept
    assert await history.usage(OWNER) == before
    await final(history, kept.session_id)
    await history.admit(exchange(kept.session_id))


async def test_only_its_owner_can_have_it_back(history: History) -> None:
    """To others there is nothing."""
    kept = await deleted(history)
    await final(history, kept.session_id, owner="somebody else")
    await final(history, "never")
    await back(history, kept.session_id)


async def test_its_time_ends(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is gone."""
    monkeypatch.setattr(undo, "SECONDS", 0.2)
    kept = await deleted(history)

    async def is_over() -> bool:
        try:
            await history.restorable(OWNER, kept.session_id)
        except NothingToRestore:
            return True
        return False

    await until_told(is_over)
    await final(history, kept.session_id)


async def test_what_uses_its_id_meanwhile_stays(history: History) -> None:
    """The deleted one comes back under another id, with its messages and images."""
    kept = await deleted(history, session_id="s")
    asked = exchange("s", prompt="new")
    admission = await history.admit(asked)
    assert (admission.known, admission.newest) == (None, None)
    await history.finish(ended(asked), "to it", "")
    second = await back(history, "s")
    assert second != "s"
    found = await history.archive(OWNER, second)
    assert found == msgspec.structs.replace(kept, session_id=second)
    assert [each.content for each in await history.messages(OWNER, "s")] == ["new", "to it"]
    assert (await history.usage(OWNER)).sessions == 2
    await final(history, "s")


async def test_the_last_deletion_of_an_id_is_undone(history: History) -> None:
    """There may have been others before."""
    await deleted(history, session_id="s", title="first")
    await history.admit(exchange("s", prompt="second"))
    await history.delete(OWNER, "s", undoable=True)
    assert await back(history, "s") == "s"
    assert (await history.session(OWNER, "s")).title == "second"
    await final(history, "s")


async def test_what_ran_is_interrupted(history: History) -> None:
    """If its end never came. The server does not go on with it."""
    asked = exchange()
    await history.admit(asked)
    await history.delete(OWNER, "s", undoable=True)
    await back(history, "s")
    assert (await history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED


@pytest.mark.parametrize("why", ["for good", "too large"])
async def test_no_earlier_deletion_of_an_id_comes_back(
    history: History, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Whoever deletes the second session of an id does not want the first one, also if the second is not kept."""
    await deleted(history, session_id="s", title="first")
    asked = exchange("s", prompt="second")
    await history.admit(asked)
    await history.finish(ended(asked), "x", "")
    if why == "too large":
        monkeypatch.setattr(undo, "MOST_BYTES", 10)
    await history.delete(OWNER, "s", undoable=why == "too large")
    monkeypatch.undo()
    await final(history, "s")


async def test_a_deletion_for_good_leaves_nothing(history: History) -> None:
    """As an import that failed, or whoever does not ask for an undo."""
    kept = archive()
    await history.restore(OWNER, kept)
    await history.delete(OWNER, kept.session_id)
    await final(history, kept.session_id)


async def test_so_many_are_kept(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the oldest of the owner who has most give way."""
    monkeypatch.setattr(undo, "MOST", 3)
    mine = await deleted(history, owner="me")
    theirs = [await deleted(history) for _ in range(4)]
    for kept in theirs[:2]:
        await final(history, kept.session_id)
    await back(history, theirs[2].session_id)
    await back(history, theirs[3].session_id)
    await back(history, mine.session_id, owner="me")


async def test_a_large_one_is_not_kept(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that are kept together have the same bound, in bytes."""
    text = "語" * 7_000
    monkeypatch.setattr(undo, "MOST_BYTES", 60_000)
    some = [await deleted(history, messages=[message(None, "user", text)], streams=[]) for _ in range(3)]
    large = await deleted(history, messages=[message(None, "user", 4 * text)], streams=[])
    await final(history, some[0].session_id)
    await final(history, large.session_id)
    await back(history, some[1].session_id)
    await back(history, some[2].session_id)


async def test_a_large_one_of_one_owner_costs_no_undo_of_others(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes most gives way, and that may be the new one."""
    monkeypatch.setattr(undo, "MOST_BYTES", 60_000)
    text = "x" * 12_000
    others = [
        await deleted(history, owner=f"owner {number}", messages=[message(None, "user", text)], streams=[])
        for number in range(2)
    ]
    older = await deleted(history, messages=[message(None, "user", "x")], streams=[])
    large = await deleted(history, messages=[message(None, "user", "x" * 50_000)], streams=[])
    await final(history, large.session_id)
    for number, kept in enumerate(others):
        await back(history, kept.session_id, owner=f"owner {number}")
    await back(history, older.session_id)
    assert (await history.usage(OWNER)).sessions == 1


@pytest.mark.parametrize("kind", ["memory", *KINDS])
async def test_it_takes_no_room_from_anybody(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nor is its way back refused for lack of it."""
    url = MEMORY if kind == "memory" else await _url(kind, request)
    limits = StorageLimits(owner_sessions=1, owner_bytes=None, stored_bytes=4 * MESSAGE_BYTES)
    async with opened(url, tmp_path, logger=structlog.get_logger(), limits=limits) as history:
        await history.admit(exchange("a", prompt="x" * MESSAGE_BYTES))
        await history.delete(OWNER, "a", undoable=True)
        await history.admit(exchange("b", prompt="x" * MESSAGE_BYTES))
        await back(history, "a")
        assert (await history.usage(OWNER)).sessions == 2
        with pytest.raises(StorageFull):
            await history.admit(exchange("c", prompt="x"))


# ---- on disk -------------------------------------------------------------------------------------------------


async def _url(kind: str, request: pytest.FixtureRequest) -> str | None:
    return await request.getfixturevalue("postgres").database() if kind == "postgresql" else None


@pytest.mark.parametrize("kind", KINDS)
async def test_it_outlives_a_restart(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Whoever has deleted it can have it back from the next server. What was interrupted is not continued."""
    url = await _url(kind, request)
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        kept = await deleted(history)
        await history.admit(exchange("running"))
        await history.delete(OWNER, "running", undoable=True)
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        await back(history, kept.session_id)
        assert await history.archive(OWNER, kept.session_id) == kept
        await back(history, "running")
        everything = await history.interrupted(since=_LONG_AGO, tries=3, limit=9)
        assert everything == []


@pytest.mark.slow
@pytest.mark.parametrize("steps", [False, True], ids=["at once", "piece by piece"])
async def test_nothing_is_left_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, steps: bool
) -> None:
    """In any table, also of one whose server has ended in between."""
    monkeypatch.setattr(undo, "SECONDS", 0.3)
    if steps:
        monkeypatch.setattr(archive_statements, "LONG", 2)
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        await deleted(history)
        await until(lambda: _left(tmp_path) == [])
        await deleted(history)
        await history.admit(exchange("s"))
    assert "messages" in _left(tmp_path)
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        await until(lambda: rows(tmp_path, "SELECT session_id FROM sessions") == [("s",)])
        await history.delete(OWNER, "s")
        await until(lambda: _left(tmp_path) == [])


@pytest.mark.slow
async def test_one_that_cannot_be_deleted_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported, and tried again before long."""
    monkeypatch.setattr(undo, "SECONDS", 0.3)
    monkeypatch.setattr(expiry, "LOOK_SECONDS", 0.2)
    logger = Recorder()
    async with opened(None, tmp_path, logger=logger) as history:
        with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
            connection.execute(
                "CREATE TRIGGER stuck BEFORE DELETE ON sessions WHEN OLD.session_id = 'stuck' "
                "BEGIN SELECT RAISE(ABORT, 'stuck'); END"
            )
        await deleted(history, session_id="stuck")
        await deleted(history, session_id="other")
        await until(lambda: rows(tmp_path, "SELECT session_id FROM sessions") == [("stuck",)])
        assert "history_expiry_failed" in logger.events
        with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
            connection.execute("DROP TRIGGER stuck")
        await until(lambda: _left(tmp_path) == [])


async def test_a_clock_that_is_set_back_keeps_nothing_for_longer(tmp_path: Path) -> None:
    """A time that is to come is over, too."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        kept = await deleted(history)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE deleted SET deleted_at = deleted_at + 3600")
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        await final(history, kept.session_id)
        await until(lambda: _left(tmp_path) == [])


async def test_a_large_session_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Images stay where they are: the file does not grow."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, SqlHistory)
        images = [archive().messages[0].images[0] for _ in range(8)]
        large = [msgspec.structs.replace(image, data=b"x" * 1_000_000) for image in images]
        kept = archive(messages=[message(None, "user", "see", images=large)], streams=[], keys=[])
        await history.restore(OWNER, kept)
        before = (tmp_path / f"{FILE}-wal").stat().st_size, (tmp_path / FILE).stat().st_size
        await history.delete(OWNER, kept.session_id, undoable=True)
        await back(history, kept.session_id)
        after = (tmp_path / f"{FILE}-wal").stat().st_size, (tmp_path / FILE).stat().st_size
        assert sum(after) - sum(before) < 1_000_000
        assert await history.archive(OWNER, kept.session_id) == kept


# ---- an id that is used again --------------------------------------------------------------------------------

ID = scoped(OWNER, "s")


def long(exchanges: int = 120) -> Archive:
    """A session with too many rows to be moved."""
    return archive(
        session_id=ID, messages=[message(None, "user", "long ago") for _ in range(2 * exchanges)], streams=[]
    )


@pytest.fixture(params=KINDS)
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlHistory]:
    """An empty history on disk of each kind."""
    url = await _url(request.param, request)
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, SqlHistory)
        yield history


async def said(history: History) -> list[str]:
    """What is in the session."""
    return [each.content for each in await history.messages(OWNER, ID)]


@pytest.mark.parametrize("what", ["rows", "bytes"])
async def test_a_large_one_gives_way_for_good(
    stored: SqlHistory, monkeypatch: pytest.MonkeyPatch, *, what: str
) -> None:
    """It is deleted piece by piece, and prompts of others are admitted in between."""
    monkeypatch.setattr(archive_statements, "PRUNED", 1)
    if what == "bytes":
        monkeypatch.setattr(make_way, "MOST_ROWS", 10_000)
        monkeypatch.setattr(make_way, "MOST_BYTES", 100_000)
    await stored.restore(OWNER, long())
    await stored.delete(OWNER, ID, undoable=True)
    asking = asyncio.create_task(stored.admit(exchange(ID, prompt="new")))
    for number in range(3):
        await stored.admit(exchange(f"other-{number}", owner="other"))
        assert not asking.done()
    await asyncio.wait({asking}, timeout=30)
    admission = asking.result()
    assert (admission.known, admission.newest) == (None, None)
    assert await said(stored) == ["new", ""]
    assert (await stored.usage(OWNER)).sessions == 1
    await final(stored, ID)


async def test_as_much_as_is_moved_comes_back(stored: SqlHistory) -> None:
    """A little less than the bound."""
    kept = archive(session_id=ID, messages=[message(None, "user", "x" * 5000) for _ in range(150)])
    await stored.restore(OWNER, kept)
    await stored.delete(OWNER, ID, undoable=True)
    await stored.admit(exchange(ID, prompt="new"))
    second = await back(stored, ID)
    assert second != ID
    assert await stored.archive(OWNER, second) == msgspec.structs.replace(kept, session_id=second)


async def test_a_prompt_waits_for_a_deletion_that_has_begun(
    stored: SqlHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is not missing: neither to the prompt nor to what is looked up before it."""
    monkeypatch.setattr(archive_statements, "PRUNED", 1)
    monkeypatch.setattr(archive_statements, "LONG", 2)
    monkeypatch.setattr(undo, "SECONDS", 0.1)
    await stored.restore(OWNER, long())
    await stored.delete(OWNER, ID, undoable=True)
    await until(lambda: stored.works_on(ID))
    assert await stored.check(OWNER, ID) is False
    assert await stored.known_key(OWNER, ID, "key") is None
    assert stored.works_on(ID)
    with pytest.raises(SessionNotFound):
        await stored.admit(exchange(ID, owner="other"))
    assert (await stored.admit(exchange(ID, prompt="new"))).newest is None
    assert await said(stored) == ["new", ""]


@pytest.mark.parametrize("is_back", [True, False])
async def test_a_way_back_that_is_in_doubt_is_looked_up(
    stored: SqlHistory, monkeypatch: pytest.MonkeyPatch, *, is_back: bool
) -> None:
    """Whoever has the chat back learns that, also if the database took long to say so."""
    kept = await deleted(stored, session_id=ID)
    now = Writer.now

    async def lost(writer: Writer, change: Change) -> Admission | None:
        if not isinstance(change, BringBack):
            return await now(writer, change)
        if is_back:
            await now(writer, change)
        raise InDoubt("It took too long.")

    monkeypatch.setattr(Writer, "now", lost)
    if is_back:
        await stored.undelete(OWNER, ID, ID)
        assert await stored.archive(OWNER, ID) == kept
    else:
        with pytest.raises(InDoubt):
            await stored.undelete(OWNER, ID, ID)


async def test_it_waits_no_longer_than_that(stored: SqlHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it may be sent again. It is no chat that does not exist."""
    monkeypatch.setattr(sql, "GONE_SECONDS", 0.0)
    await stored.restore(OWNER, long())
    await stored.delete(OWNER, ID, undoable=True)
    with pytest.raises(BeingDeleted):
        await stored.admit(exchange(ID, prompt="new"))
    monkeypatch.undo()
    await stored.admit(exchange(ID, prompt="again"))
    assert await said(stored) == ["again", ""]


async def test_what_a_restart_left_is_waited_for(tmp_path: Path) -> None:
    """A prompt that comes at once finds its id in use still."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        await history.restore(OWNER, long())
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE sessions SET owner = ?", (HIDDEN,))
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        await history.admit(exchange(ID, prompt="new"))
        assert await said(history) == ["new", ""]


def _left(folder: Path) -> list[str]:
    """Return the tables that are not empty."""
    return [table for table in TABLES if rows(folder, f"SELECT count(*) FROM {table}") != [(0,)]]
