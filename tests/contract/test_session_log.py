"""The session log, whoever keeps it, against the simplest model there is: a list of events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.chat.errors import Fenced
from app.chat.ports import Kind
from app.chat.states import Outcome, Status
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Event, Prompt, Start, StatusChange
from app.log.memory_log import MemoryLog
from app.log.session_log import SessionLog
from app.log.shared.shared_log import SharedLog
from app.log.shared.shared_logs import SharedLogs

ROOMY = 10**7  # bytes


class LogMaker:
    """Makes empty logs in memory."""

    async def make(self, epoch: int, *, max_bytes: int, clock: Callable[[], float]) -> SessionLog:
        """Make one."""
        return MemoryLog(epoch, max_bytes=max_bytes, clock=clock)

    async def settle(self, log: SessionLog) -> None:
        """Return once all that was appended can be read."""

    async def close(self) -> None:
        """End all logs."""


class SharedLogMaker(LogMaker):
    """Makes empty logs in Redis."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[SharedLogs] = []

    async def make(self, epoch: int, *, max_bytes: int, clock: Callable[[], float]) -> SessionLog:
        logs = SharedLogs(
            self._url,
            max_bytes=max_bytes,
            seconds=60,
            logger=structlog.get_logger(),
            on_fenced=lambda _: None,
            clock=clock,
        )
        self._open.append(logs)
        await logs.start()
        return await logs.open(f"contract-{secrets.token_hex(8)}", epoch)

    async def settle(self, log: SessionLog) -> None:
        assert isinstance(log, SharedLog)
        await log.shown()

    async def close(self) -> None:
        for logs in self._open:
            await logs.close()


class Told(NamedTuple):
    """One event as the model has it. Of a token, `position` is its place in its kind."""

    name: str
    stream_id: str
    position: int | None = None
    text: str = ""


class Stream:
    """A stream that writes the log."""

    def __init__(self, number: int) -> None:
        self.stream_id = f"s{number}"
        self.fence = number
        self.positions: dict[Kind, int] = {"token": 0, "reasoning": 0}
        self.over = False


class Hearing(NamedTuple):
    """A listener: what was in the log when it came, and what it has heard since."""

    since: int
    entries: list[Entry]
    listener: Callable[[Entry], None]


def check_entries(entries: list[Entry], expected: list[tuple[int, Told]]) -> None:
    """Take merged entries apart: they are the expected events, each once, in order, under the right numbers."""
    remaining = iter(expected)
    for entry in entries:
        parts = [next(remaining) for _ in range(entry.count)]
        assert {(event.name, event.stream_id) for _, event in parts} == {(entry.name, entry.stream_id)}
        assert entry.seq == parts[-1][0]
        assert (entry.event is None) == (entry.name in ("token", "reasoning"))
        assert entry.position == (parts[0][1].position or 0)
        assert entry.text == "".join(event.text for _, event in parts)
    assert list(remaining) == []


class LogMachine(RuleBasedStateMachine):
    """Appends, reads, forgets and restarts; after every step log and list agree."""

    new_maker: Callable[[], LogMaker]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.maker = type(self).new_maker()
        self.now = 0.0
        self.epoch = 0
        self.number = 0

    def teardown(self) -> None:
        self.runner.run(self.maker.close())
        self.runner.close()

    @initialize(max_bytes=st.sampled_from([1500, ROOMY]))
    def begin(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.restart()

    @rule()
    def restart(self) -> None:
        """The log was lost; another epoch begins."""
        self.epoch += 1
        self.log = self.runner.run(
            self.maker.make(self.epoch, max_bytes=self.max_bytes, clock=lambda: self.now)
        )
        self.events: list[Told] = []
        self.begun: list[float] = []  # when the run of each event began
        self.floor = 0
        self.promised = 0
        self.current: Stream | None = None
        self.fenced: list[Stream] = []
        self.hearings: list[Hearing] = []

    # ---- appending -------------------------------------------------------------------------------------------

    def _append(self, stream: Stream, event: Event, name: str) -> None:
        self.runner.run(self._appended(stream, event))
        self._remember(Told(name, stream.stream_id))

    async def _appended(self, stream: Stream, event: Event) -> None:
        await self.log.append(stream.fence, event)
        await self.maker.settle(self.log)

    async def _appended_text(self, stream: Stream, kind: Kind, position: int, texts: list[str]) -> None:
        self.log.append_text(stream.fence, kind, stream.stream_id, position, texts)
        await self.maker.settle(self.log)

    def _remember(self, event: Told) -> None:
        joins = bool(self.events) and event.position is not None and self.events[-1][:2] == event[:2]
        self.begun.append(self.begun[-1] if joins else self.now)
        self.events.append(event)

    @rule()
    def start(self) -> None:
        """A stream has its turn; one that did not end is fenced off."""
        if self.current is not None:
            self.fenced.append(self.current)
        self.number += 1
        self.current = Stream(self.number)
        prompt = Prompt("p", "hello\nthere")
        self._append(self.current, Start(self.current.stream_id, "m", "a/b", prompt), "start")

    @precondition(lambda self: self.current is not None)
    @rule(status=st.sampled_from([Status.THINKING, Status.STREAMING]))
    def status(self, status: Status) -> None:
        assert self.current is not None
        self._append(self.current, StatusChange(self.current.stream_id, status), "status")

    @precondition(lambda self: self.current is not None)
    @rule(
        kind=st.sampled_from(["token", "token", "reasoning"]),
        texts=st.lists(st.one_of(st.text(max_size=5), st.just("x" * 300)), min_size=1, max_size=4),
    )
    def text(self, kind: Kind, texts: list[str]) -> None:
        assert self.current is not None
        stream, position = self.current, self.current.positions[kind]
        self.runner.run(self._appended_text(stream, kind, position, texts))
        for place, text in enumerate(texts, position):
            self._remember(Told(kind, stream.stream_id, place, text))
        stream.positions[kind] += len(texts)

    @precondition(lambda self: self.current is not None)
    @rule()
    def end(self) -> None:
        assert self.current is not None
        self._append(self.current, _end(self.current), "end")
        self.fenced.append(self.current)
        self.current = None

    @precondition(lambda self: self.fenced)
    @rule(data=st.data(), what=st.sampled_from(["text", "end", "status"]))
    def late(self, data: st.DataObject, what: str) -> None:
        """A stream whose turn is over appends nothing."""
        stream = data.draw(st.sampled_from(self.fenced))
        if what == "text":
            with pytest.raises(Fenced):
                self.log.append_text(stream.fence, "token", stream.stream_id, 0, ["late"])
            return
        event = _end(stream) if what == "end" else StatusChange(stream.stream_id, Status.STREAMING)
        with pytest.raises(Fenced):
            self.runner.run(self.log.append(stream.fence, event))

    # ---- time and promises -----------------------------------------------------------------------------------

    @rule(seconds=st.integers(1, 100))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @rule(age=st.integers(0, 200))
    def expire(self, age: int) -> None:
        """What is older goes, except the run that still grows; nothing younger does."""
        older_than = self.now - age
        self.runner.run(self._expired(older_than))
        growing = len(self.events)
        if self.events and self.events[-1].position is not None:
            while growing and self.events[growing - 1][:2] == self.events[-1][:2]:
                growing -= 1
        gone = 0
        while gone < growing and self.begun[gone] < older_than:
            gone += 1
        self.floor = max(self.floor, gone)
        assert self._floor() == self.floor

    async def _expired(self, older_than: float) -> None:
        self.log.expire(older_than)

    @rule(ahead=st.integers(0, 5))
    def promise(self, ahead: int) -> None:
        """A cursor that will be right soon is right now."""
        assert self.log.promise(ahead) == len(self.events) + ahead
        self.promised = max(self.promised, len(self.events) + ahead)

    # ---- reading ---------------------------------------------------------------------------------------------

    def _floor(self) -> int:
        """The oldest cursor that can be served."""
        heads = range(len(self.events) + 1)
        return next(seq for seq in heads if self.log.refusal(Cursor(self.epoch, seq)) is None)

    def _after(self, seq: int, stream_id: str | None = None) -> list[tuple[int, Told]]:
        return [
            (number, event)
            for number, event in enumerate(self.events, 1)
            if number > seq and stream_id in (None, event.stream_id)
        ]

    def _read(self, seq: int, stream_id: str | None) -> list[Entry]:
        entries: list[Entry] = []
        while (reading := self.log.read(seq, stream_id)).last > seq:
            entries += reading.entries
            seq = reading.last
        assert seq == len(self.events)
        return entries

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """From any cursor that is not refused, and of any one stream, the rest is there."""
        self.floor = self._floor()
        seq = data.draw(st.integers(self.floor, len(self.events)))
        stream_id = data.draw(st.sampled_from([None, *{event.stream_id for event in self.events}]))
        check_entries(self._read(seq, stream_id), self._after(seq, stream_id))

    @rule()
    def listen(self) -> None:
        entries: list[Entry] = []
        hearing = Hearing(len(self.events), entries, entries.append)
        self.hearings.append(hearing)
        self.log.listen(hearing.listener)

    @precondition(lambda self: self.hearings)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """A listener hears everything until it is forgotten, and nothing afterwards."""
        hearing = data.draw(st.sampled_from(self.hearings))
        check_entries(hearing.entries, self._after(hearing.since))
        self.log.forget(hearing.listener)
        self.hearings = [other for other in self.hearings if other is not hearing]

    # ---- always ----------------------------------------------------------------------------------------------

    @invariant()
    def log_and_list_agree(self) -> None:
        assert (self.log.epoch, self.log.head) == (self.epoch, len(self.events))
        self._check_old_end()
        self._check_refusals()
        for number, event in enumerate(self.events, 1):
            if event.name == "start":
                assert self.log.before(event.stream_id) == (number - 1 if number > self.floor else None)
        for hearing in self.hearings:
            check_entries(hearing.entries, self._after(hearing.since))

    def _check_old_end(self) -> None:
        """Retention by bytes drops from the old end; what is kept is within the bound, but for the newest part."""
        floor = self._floor()
        assert floor >= self.floor
        if self.max_bytes == ROOMY:
            assert floor == self.floor
        self.floor = floor
        entries = self._read(floor, None)
        assert sum(len(entry.text) for entry in entries[:-1]) <= self.max_bytes

    def _check_refusals(self) -> None:
        refusal, last = self.log.refusal, max(len(self.events), self.promised)
        assert refusal(Cursor(self.epoch, last)) is None
        assert refusal(Cursor(self.epoch, last + 1)) == "epoch"
        assert refusal(Cursor(self.epoch - 1, 0)) == "epoch"
        if self.floor:
            assert refusal(Cursor(self.epoch, self.floor - 1)) == "expired"


def _end(stream: Stream) -> End:
    return End(
        stream_id=stream.stream_id,
        outcome=Outcome.COMPLETE,
        finish_reason="stop",
        tokens=stream.positions["token"],
        duration_ms=1,
        ttft_ms=None,
        upstream_closed=True,
        message_id="m",
    )


@pytest.fixture(params=["memory", "valkey"])
def new_maker(request: pytest.FixtureRequest) -> Callable[[], LogMaker]:
    """What makes the logs, of each implementation."""
    if request.param == "memory":
        return LogMaker
    url: str = request.getfixturevalue("valkey").url
    return lambda: SharedLogMaker(url)


@pytest.mark.slow
def test_a_log_is_a_list_with_an_old_end_and_a_fence(new_maker: Callable[[], LogMaker]) -> None:
    """Whatever is appended, read, expired, promised and refused, in any order: the log does as the list does."""
    machine = type("Machine", (LogMachine,), {"new_maker": staticmethod(new_maker)})
    limits = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(machine, settings=limits)
