"""Snapshots: messages and cursor are of one moment, however slowly a database answers."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.chat.errors import HistoryUnavailable, StreamNotFound
from app.chat.states import IfActive, Outcome
from app.chat.submission import Submission
from app.history.database import T, Work
from app.history.opening import FILE
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.log.entries import End
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.registry import Registry
from app.streams.session import Session
from app.streams.stream import Stream
from app.web import app_keys
from app.web.api.sessions import Snapshot, take_snapshot
from app.web.app_keys import HISTORY, REGISTRY
from tests.history.files import rows
from tests.history.samples import OWNER, ended, exchange
from tests.support.puppet import PuppetBackend
from tests.support.recorder import Recorder
from tests.support.waiting import until


class SlowDatabase(SqliteDatabase):
    """Much happens before a read begins, between its end and its answer, and between a commit and its answer."""

    async def read(self, work: Work[T]) -> T:
        await self._dawdle()
        found = await super().read(work)
        await self._dawdle()
        return found

    async def write(self, work: Work[T], *, long: bool = False) -> T:
        done = await super().write(work, long=long)
        await self._dawdle()
        return done

    async def _dawdle(self) -> None:
        for _ in range(random.randrange(30)):
            await asyncio.sleep(0)


def told(log: SessionLog) -> dict[str, tuple[str, str | None]]:
    """What the log has of each stream by now: its text and its outcome."""
    streams: dict[str, tuple[str, str | None]] = {}
    after = 0
    while after < log.head:
        entries, after = log.read(after)
        for entry in entries:
            text, outcome = streams.get(entry.stream_id, ("", None))
            if entry.name == "token":
                text += entry.text
            elif isinstance(entry.event, End):
                outcome = entry.event.outcome
            streams[entry.stream_id] = (text, outcome)
    return streams


def check(snapshot: Snapshot, log: SessionLog, claimed: list[Stream]) -> None:
    """Compare the snapshot with the log and the line at the very moment at which it was returned."""
    assert snapshot.cursor == f"{log.epoch}-{log.head}"
    known = told(log)
    answers = [message for message in snapshot.messages if message.role == "assistant"]
    there = [stream.stream_id for stream in claimed if not (stream.discarded and stream.outcome)]
    assert [message.stream_id for message in answers] == there
    for message in answers:
        text, outcome = known.get(message.stream_id or "", ("", None))
        assert message.content == text
        # A stream has its outcome a moment before its end is in the log, never the other way round.
        assert outcome in (None, message.outcome)


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """All streams that ever got into the line, in its order."""
    streams: list[Stream] = []
    claim = Session.claim

    def noted(session: Session, stream: Stream, if_active: IfActive) -> int:
        streams.append(stream)
        return claim(session, stream, if_active)

    monkeypatch.setattr(Session, "claim", noted)
    return streams


async def converse(registry: Registry, backend: PuppetBackend) -> None:
    """Prompts that supersede, follow and roll back each other, while answers grow and end."""
    for number in range(24):
        ask = Submission(
            owner=OWNER,
            session_id="s",
            prompt=str(number),
            model=backend.model,
            backend=backend,
            if_active=random.choice(["supersede", "supersede", "enqueue", "rollback"]),
        )
        await asyncio.gather(*(registry.register(ask) for _ in range(random.randrange(1, 3))))
        await speak(backend)


@pytest.mark.parametrize("seed", range(8))
async def test_a_snapshot_is_of_one_moment(tmp_path: Path, seed: int, claimed: list[Stream]) -> None:
    """While prompts come and answers grow and end, it says what the log says up to its cursor, and no more."""
    random.seed(seed)
    backend = PuppetBackend()
    taken = 0
    async with (
        SlowDatabase.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        bounds = Bounds(viewer_grace=None, queue_limit=100)
        registry = Registry(history=history, bounds=bounds, logger=Recorder())
        app = web.Application()
        app[REGISTRY], app[HISTORY] = registry, history
        request = make_mocked_request("GET", "/", app=app)
        request[app_keys.OWNER] = OWNER
        conversing = asyncio.create_task(converse(registry, backend))
        while not conversing.done():
            if await history.check(OWNER, "s"):
                snapshot = await take_snapshot(request, "s")
                check(snapshot, registry.session("s").log, claimed)
                taken += 1
            await asyncio.sleep(0)
        await conversing
        await registry.close()
    assert taken > 5


async def speak(backend: PuppetBackend) -> None:
    """The newest answer grows a little, and may end."""
    for _ in range(random.randrange(8)):
        await asyncio.sleep(0)
        if backend.generations:
            newest = backend.generations[-1]
            newest.say(*random.choices(["one ", "two ", "three "], k=random.randrange(1, 4)))
            if random.random() < 0.15:
                newest.finish()
    for _ in range(random.randrange(60)):
        await asyncio.sleep(0)


async def test_a_session_that_never_holds_still_is_refused(tmp_path: Path) -> None:
    """After some attempts, with an error that asks to try again; never a snapshot that mixes two moments."""

    class Restless(SqliteDatabase):
        async def read(self, work: Work[T]) -> T:
            found = await super().read(work)
            asked = exchange()
            await history.admit(asked)
            await history.finish(ended(asked, Outcome.STOPPED), "", "")
            return found

    async with Restless.opened(tmp_path / FILE) as database, SqlHistory.on(database, Recorder()) as history:
        await history.admit(exchange())
        with pytest.raises(HistoryUnavailable):
            await history.conversation(OWNER, "s")


async def test_a_prompt_is_not_seen_before_it_was_admitted(tmp_path: Path) -> None:
    """It may be turned down still; the disk has it already, but nobody is shown it."""
    answered = asyncio.Event()

    class Held(SqliteDatabase):
        async def write(self, work: Work[T], *, long: bool = False) -> T:
            done = await super().write(work, long=long)
            await answered.wait()
            return done

    async with Held.opened(tmp_path / FILE) as database:
        answered.set()
        async with SqlHistory.on(database, Recorder()) as history:
            await history.admit(exchange())
            answered.clear()
            asked = exchange(key="k", request_hash="h")
            admitting = asyncio.create_task(history.admit(asked))
            await until(lambda: len(rows(tmp_path, "SELECT 1 FROM messages")) == 4)
            assert len(await history.messages(OWNER, "s")) == 2
            assert await history.known_key(OWNER, "s", "k") is None
            with pytest.raises(StreamNotFound):
                await history.stream(OWNER, asked.stream.stream_id)
            answered.set()
            await admitting
            assert len(await history.messages(OWNER, "s")) == 4
