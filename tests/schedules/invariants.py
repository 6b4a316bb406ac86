"""The invariants of a stream's life, watched from outside at every step of a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.chat.errors import Refused
from app.chat.states import Outcome
from app.log.entries import Entry
from app.streams.bounds import Bounds
from tests.schedules.events import Logged, expand
from tests.schedules.heart import Heart, LiveSession
from tests.schedules.loop import VirtualLoop
from tests.schedules.upstream import Answer, Behaviour
from tests.support.recorder import Line, Recorder

NAMES = {
    0: "Nothing crashes unseen",
    1: "One generation per session",
    2: "One start and one end for every POST",
    3: "Streams do not interleave",
    4: "The newest POST always runs",
    5: "A newer POST waits 2 s at most",
    6: "Nothing after the end",
    7: "The end comes after the closing",
    8: "Nothing is left",
    9: "All viewers see the same",
    10: "Sessions are independent",
    11: "A model server gives no more answers at once than it can",
    12: "Nobody waits while a slot is free",
}
HAIR = 1e-6  # s; sums of floats


class Violation(Exception):
    """An invariant that did not hold."""

    def __init__(self, invariant: int, what: str) -> None:
        super().__init__(f"invariant {invariant} ({NAMES[invariant]}): {what}")
        self.invariant = invariant


@dataclass
class Life:
    """What is known of one prompt, seen from outside."""

    label: str
    behaviour: Behaviour
    if_active: str
    key: str | None
    goes_on: bool = False  # whether it continues an answer
    begun: bool = False  # whether the handler of its POST has taken a first step
    stream_id: str = ""
    claimed_at: float = 0.0
    predecessors: bool = False  # whether others were in line when it was claimed
    newest: bool = True  # of its session, so far
    started: bool = False
    start_seq: int = 0
    cursor: int | None = (
        None  # the sequence number that the POST's answer promised to be just before its start
    )
    end: dict[str, Any] | None = None
    answer: Answer | None = None
    book: Book | None = None
    stopped: bool = False  # by an operation of the scenario
    stop_answered: bool = False  # and that operation was answered
    order: int = 0  # of the claims in its session

    @property
    def session_id(self) -> str:
        """The session of the prompt."""
        return self.label[0]


@dataclass
class Allowed:
    """What a scenario has done that explains an outcome."""

    shutdown: bool = False
    closed: bool = False  # the shutdown is over
    cut: bool = False
    deleted: set[str] = field(default_factory=set)  # sessions
    stopping: list[tuple[str, asyncio.Task[Any]]] = field(
        default_factory=list
    )  # sessions, and who stops them


class Book:
    """One session log, as its first listener saw it."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self.events: list[Logged] = []
        self.current: str | None = None
        self.claims = 0
        self.starts = 0
        self.newest: Life | None = None


class Invariants:
    """Is told of everything, and keeps the first violation. Nothing raises inside the heart, which would catch it."""

    def __init__(
        self, loop: VirtualLoop, recorder: Recorder, bounds: Bounds, answers: int | None = None
    ) -> None:
        self.violation: Violation | None = None
        self.lives: dict[str, Life] = {}  # by label
        self.hung_up: set[str] = set()
        self.by_stream: dict[str, Life] = {}
        self.allowed = Allowed()
        self.books: dict[int, Book] = {}  # by the identity of a live session, which they keep alive
        self._loop = loop
        self._recorder = recorder
        self._bounds = bounds
        self._answers = answers  # that the model server gives at once
        recorder.told = self._told

    def violate(self, invariant: int, what: str) -> None:
        """Keep the first violation."""
        if self.violation is None:
            self.violation = Violation(invariant, what)

    def _clock(self) -> float:
        return self._loop.time() - self._loop.starved

    # ---- claims ----------------------------------------------------------------------------------------------

    def look(self, heart: Heart, session_ids: str) -> None:
        """Notice new sessions and new claims; called after every step."""
        for session_id in session_ids:
            session = heart.find(session_id)
            if session is None:
                continue
            book = self.books.get(id(session)) or self._open_book(session)
            line = tuple(session)
            for place, stream in enumerate(line):
                if stream.stream_id not in self.by_stream:
                    self._claimed(book, stream.stream_id, stream.backend.label, place > 0)

    def _open_book(self, session: LiveSession) -> Book:
        book = self.books[id(session)] = Book(session)

        def listen(entry: Entry) -> None:
            for event in expand(entry):
                self._appended(book, event)

        session.log.listen(listen)
        return book

    def _claimed(self, book: Book, stream_id: str, label: str, predecessors: bool) -> None:
        life = self.by_stream[stream_id] = self.lives[label]
        if life.stream_id:
            self.violate(2, f"{label} was registered twice")
        life.stream_id = stream_id
        life.claimed_at = self._clock()
        life.predecessors = predecessors
        life.book = book
        if self.allowed.closed:
            self.violate(8, f"{label} was registered after the server had closed")
        life.stopped = any(
            session_id == label[0] and not task.done() for session_id, task in self.allowed.stopping
        )
        life.order = book.claims = book.claims + 1
        if book.newest is not None:
            book.newest.newest = False
        book.newest = life

    def _told(self, line: Line) -> None:
        """A line is written as it happens: nobody may look when a stream is signalled as abandoned."""
        if line.fields.get("reason") == "abandoned":
            life = self.by_stream[line.fields["trace"]]
            if life.book is not None and getattr(life.book.session, "viewers", False):
                self.violate(4, f"{life.label} was abandoned while somebody looked")

    # ---- the model server ------------------------------------------------------------------------------------

    def opened(self, answer: Answer) -> None:
        """The model server got a request: invariants 1, 5 and 10."""
        life = self.lives[answer.label]
        life.answer = answer
        for other in self.lives.values():
            if other is not life and other.session_id == life.session_id and self._unfenced(other):
                self.violate(1, f"{life.label} was opened while {other.label} was open")
        if life.stop_answered:
            self.violate(7, f"{life.label} was opened after its stop had been answered")
        if self._answers is not None:
            # How long it waited is the model server's affair, and `at_rest` sees to it that it had to.
            self._no_more_than(self._answers, life)
            return
        waited = self._clock() - life.claimed_at
        if not life.predecessors and waited > HAIR:
            self.violate(10, f"{life.label} was alone in its session and waited {waited:g} s")
        if life.if_active != "enqueue" and waited > self._bounds.supersede_timeout + HAIR:
            self.violate(5, f"{life.label} waited {waited:g} s")

    def _no_more_than(self, answers: int, life: Life) -> None:
        # The answer of `life` is about to open, and counts already.
        if (used := self._used()) > answers:
            self.violate(11, f"{life.label} was opened as number {used}, and {answers} are possible")

    def _used(self) -> int:
        return sum(self._unfenced(life) for life in self.lives.values())

    def starved(self) -> float:
        """Tell for how long the loop has been late so far."""
        return self._loop.starved

    def _unfenced(self, life: Life) -> bool:
        """Whether a stream has an open generation that was not given up, counted and logged."""
        if life.answer is None or life.answer.is_closed:
            return False
        given_up = life.end is not None and not life.end["upstream_closed"]
        logged = ("prev_stream_timeout_on_cancel", "upstream_close_timeout", "upstream_close_failed")
        cut = self.allowed.cut
        return not (given_up and (cut or any(self._recorder.said(line, life.stream_id) for line in logged)))

    # ---- the log ---------------------------------------------------------------------------------------------

    def _appended(self, book: Book, event: Logged) -> None:
        if event.seq != len(book.events) + 1:
            self.violate(9, f"{event} follows number {len(book.events)}")
        book.events.append(event)
        life = self.by_stream.get(event.stream_id)
        if life is None:
            self.violate(3, f"{event} is of no stream that was registered")
        elif life.end is not None:
            self.violate(6, f"{event.name} of {life.label} came after its end")
        elif event.name == "start":
            self._started(book, life)
        elif book.current != life.stream_id:
            self.violate(3, f"{event.name} of {life.label} came outside its turn")
        elif event.name == "end":
            self._ended(book, life, event.data)

    def _started(self, book: Book, life: Life) -> None:
        if life.started:
            self.violate(2, f"{life.label} started twice")
        late = self._clock() - life.claimed_at > self._bounds.supersede_timeout + HAIR
        if late and life.if_active != "enqueue":
            self.violate(5, f"{life.label} started {self._clock() - life.claimed_at:g} s after its POST")
        if book.current is not None:
            self.violate(3, f"{life.label} started before {self.by_stream[book.current].label} ended")
        book.starts += 1
        if life.order != book.starts:
            self.violate(3, f"{life.label} was POST number {life.order} and started as number {book.starts}")
        life.started, life.start_seq = True, book.events[-1].seq
        book.current = life.stream_id

    def _ended(self, book: Book, life: Life, data: dict[str, Any]) -> None:
        life.end = data
        book.current = None
        if data["upstream_closed"]:
            if life.answer is not None and life.answer.is_open:
                self.violate(7, f"{life.label} ended as closed while its connection was open")
        else:
            self._not_closed(life)
        self._justified(life, Outcome(data["outcome"]))

    def _not_closed(self, life: Life) -> None:
        if life.answer is None or self.allowed.cut or life.behaviour.close_raises:
            return
        since = life.answer.aborted_at
        if since is None:
            return
        if self._loop.time() - since < self._bounds.close_timeout - HAIR:
            self.violate(7, f"{life.label} was given up before the bound had passed")
        starved = self._loop.starved - life.answer.starved_before
        if (
            not life.behaviour.deaf
            and self._loop.time() - since - starved > self._bounds.close_timeout + HAIR
        ):
            self.violate(7, f"{life.label} was given up long after the bound had passed")

    def _justified(self, life: Life, outcome: Outcome) -> None:
        """Each outcome has a cause in the scenario: a stream never ends for somebody else's reason."""
        causes = {
            Outcome.COMPLETE: life.behaviour.ends == "complete",
            Outcome.STOPPED: life.stopped or life.session_id in self.allowed.deleted,
            Outcome.SUPERSEDED: not life.newest or self._challenged(life),
            Outcome.ABANDONED: self._bounds.viewer_grace is not None,
            Outcome.FAILED: life.behaviour.ends != "complete" or self.allowed.cut or self._timed_out(life),
            Outcome.INTERRUPTED: self.allowed.shutdown or self.allowed.cut,
        }
        if not causes[outcome]:
            self.violate(4, f"{life.label} ended {outcome}, and nobody had asked for it")
        if outcome is Outcome.COMPLETE and life.end and life.end["tokens"] != life.behaviour.tokens:
            self.violate(9, f"{life.label} had {life.behaviour.tokens} tokens, {life.end['tokens']} arrived")

    def _challenged(self, life: Life) -> bool:
        """Whether another POST of the session is under way, and may have signalled without a claim so far."""
        return any(
            other.session_id == life.session_id and not other.stream_id for other in self.lives.values()
        )

    def _timed_out(self, life: Life) -> bool:
        quick = min(self._bounds.first_token_timeout, self._bounds.token_timeout)
        if self._answers is not None:
            quick = min(quick, self._bounds.line_timeout)
        return self._loop.time() - life.claimed_at >= quick - HAIR

    # ---- answers ---------------------------------------------------------------------------------------------

    def answered(self, label: str, handler: asyncio.Task[Any]) -> None:
        """A POST was answered. A refusal is an answer; a cancellation that is not the client's own is a lost prompt."""
        if handler.cancelled():
            if not (label in self.hung_up or self.allowed.cut):
                self.violate(4, f"the POST of {label} was cancelled, and its prompt lost")
        elif (error := handler.exception()) is not None:
            if not isinstance(error, Refused):
                self.violate(4, f"the POST of {label} failed: {error!r}")
        elif not self.lives[label].stream_id:
            self.violate(2, f"the POST of {label} was answered, and nothing was registered")
        elif handler.result().new and self.lives[label].if_active != "enqueue":
            promised = handler.result().cursor.seq
            self.lives[label].cursor = None if promised < 0 else promised

    def stop_was_answered(self, lives: list[Life]) -> None:
        """A DELETE was answered: these never reach the model from now on."""
        for life in lives:
            life.stop_answered = True

    # ---- rest and end ----------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Nothing can happen before the world or the clock moves: what has ended has left (invariant 8)."""
        in_line = {stream.stream_id for book in self.books.values() for stream in book.session}
        for stream_id, life in self.by_stream.items():
            if life.end is not None and stream_id in in_line:
                self.violate(8, f"{life.label} has ended and still holds its slot")
        # A deaf one whose connection the server has closed does not know it, and keeps its slot until it is fenced.
        used = sum(self._unfenced(life) or self._is_deaf(life) for life in self.lives.values())
        if self._answers is not None and used < self._answers:
            for life in self.by_stream.values():
                if life.started and life.end is None and life.answer is None:
                    self.violate(12, f"{life.label} waits, and {used} of {self._answers} slots are used")

    def _is_deaf(self, life: Life) -> bool:
        return bool(life.behaviour.deaf) and life.answer is not None and life.end is None

    def remembered(self, heart: Heart) -> Iterator[Life]:
        """Yield the streams that the history has to know: all but those of sessions deleted since."""
        for book in self.books.values() if heart.remembers else ():
            for life in self.by_stream.values():
                if life.book is book and heart.find(life.session_id) is book.session:
                    yield life

    def kept(self, life: Life, reading: asyncio.Task[Any]) -> None:
        """The history was asked for a stream after all is over."""
        if not reading.done() or reading.cancelled() or reading.exception() is not None:
            self.violate(2, f"{life.label} was answered, and the history does not know it")

    def no_crash(self) -> None:
        """Nothing in the heart raised what it did not expect; called before the others, for it explains them."""
        for line in self._recorder.lines:
            if line.event in ("conductor_crashed", "turn_failed", "stream_crashed"):
                life = self.by_stream.get(line.fields.get("trace", ""))
                if life is None or life.behaviour.ends != "crash":
                    self.violate(0, f"{line.event}: {line.fields.get('exc_info')!r}")
        for complaint in self._loop.complaints:
            self.violate(0, complaint)

    def admitted(self, stream_ids: list[str]) -> None:
        """Whatever the history admitted was registered: a client that hung up half-way changes nothing."""
        if not self.allowed.cut:
            for stream_id in stream_ids:
                if stream_id not in self.by_stream:
                    self.violate(2, f"{stream_id} was admitted to the history and never registered")
        if not (self.allowed.cut or self.allowed.shutdown or self.allowed.deleted):
            for label in self.hung_up:
                life = self.lives[label]
                if life.begun and life.if_active == "supersede" and not (life.stream_id or life.goes_on):
                    self.violate(4, f"{label} was lost when its client hung up")

    def finish(self) -> None:
        """All is over: what was promised has happened."""
        for life in self.by_stream.values():
            if not life.started or life.end is None:
                self.violate(2, f"{life.label} has {'no end' if life.started else 'no start'}")
            elif life.cursor not in (None, life.start_seq - 1):
                self.violate(
                    9, f"{life.label} started at {life.start_seq}, its POST promised {life.cursor} + 1"
                )
