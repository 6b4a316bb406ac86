"""The line in front of a model server that answers a limited number of prompts at once.

Places are fair between owners: an owner's first waiting stream comes before everybody's second, and within one owner
the first to come is the first to be served. This is start-time fair queueing (Goyal, Vin, Cheng, 1996) with every
answer counted as one: an owner who returns after each answer gets no more than one who lines up all prompts at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from enum import Enum, auto

from app.measures import Histograms

LONGEST_PAUSE = 60.0  # s that a model server can hold up its line with `Retry-After`
# Bounds in seconds of the time in line.
WAITS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Stage(Enum):
    """Where a ticket is. It only ever moves on."""

    NEW = auto()
    EXPECTED = auto()  # claimed a place, and will enter as soon as its session lets it
    WAITING = auto()
    SERVED = auto()  # has a slot
    LEFT = auto()


class Ticket:
    """The place of one stream. All methods are synchronous, but for `moved`."""

    __slots__ = ("_line", "_moved", "arrival", "entered", "owner", "place", "stage")

    def __init__(self, line: Line, owner: str) -> None:
        self._line = line
        self._moved: asyncio.Future[None] | None = None  # for `moved`
        self.owner = owner
        self.stage = Stage.NEW
        self.arrival = 0  # the order of arrival; smaller is earlier
        self.entered = 0.0  # loop time
        self.place = 0  # in line, the next one to be served has 1; 0 outside

    def __repr__(self) -> str:
        return f"<Ticket {self.owner} {self.stage.name} place={self.place}>"

    @property
    def backend(self) -> str:
        """The name of the model server."""
        return self._line.backend

    @property
    def pending(self) -> bool:
        """Whether it is in line, or will be soon."""
        return self.stage in (Stage.EXPECTED, Stage.WAITING)

    @property
    def waits(self) -> bool:
        """Whether it is in line."""
        return self.stage is Stage.WAITING

    def expect(self, older: Ticket | None = None) -> None:
        """Claim a place now, to `enter` soon. A replaced ticket passes on its turn if it has not been served."""
        if self.stage is Stage.NEW:
            self._line.expect(self, older if older is not None and older._line is self._line else None)

    def enter(self) -> None:
        """Take a slot if one is free, else the place in line."""
        if self.stage in (Stage.NEW, Stage.EXPECTED):
            self._line.enter(self)

    def give_up(self) -> None:
        """Leave the line. A ticket that has a slot keeps it, because its upstream may be open: see `leave`."""
        if self.stage is not Stage.SERVED:
            self.leave()

    def leave(self) -> None:
        """Leave the line, or give back the slot. Idempotent."""
        if self.stage is not Stage.LEFT:
            self._line.leave(self)

    def pause(self, seconds: float | None) -> None:
        """The model server refused the request and may accept the next one after `seconds`."""
        self._line.pause(seconds)

    async def moved(self, place: int) -> None:
        """Wait until the place differs from `place`."""
        while self.place == place and self.stage is Stage.WAITING:
            self._moved = asyncio.get_running_loop().create_future()
            try:
                await self._moved
            finally:
                self._moved = None

    def move(self, place: int) -> None:
        """Set the place. Called by the line."""
        if place != self.place:
            self.place = place
            if self._moved is not None and not self._moved.done():
                self._moved.set_result(None)


class _Turns:
    """The streams of one owner in line, and the number of the owner's next turn."""

    __slots__ = ("next", "waiting")

    def __init__(self, turn: int) -> None:
        self.next = turn
        self.waiting: list[Ticket] = []  # by arrival


class Line:
    """The slots of one model server and the tickets that wait for them. Synchronous throughout."""

    def __init__(self, backend: str, slots: int, limit: int, waits: Histograms) -> None:
        self.backend = backend
        self.slots = slots
        self.limit = limit
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._turns: dict[str, _Turns] = {}  # by owner: those in line, and those served ahead of `_turn`
        self._turn = 0  # of the ticket that was served last
        self._arrivals = 0
        self._paused: asyncio.TimerHandle | None = None  # while it is, nobody is served
        self.expected = 0
        self.waiting = 0
        self.served = 0

    def __repr__(self) -> str:
        return f"<Line {self.backend} served={self.served}/{self.slots} waiting={self.waiting}>"

    @property
    def owners(self) -> Collection[str]:
        """The owners of whom something is known: those in line, and those who were served lately."""
        return self._turns.keys()

    @property
    def full(self) -> bool:
        """Whether another stream would find more than `limit` in line."""
        free = 0 if self._paused else max(0, self.slots - self.served)
        return self.waiting + self.expected >= self.limit + free

    def ticket(self, owner: str) -> Ticket:
        """Return a ticket that has no place yet."""
        return Ticket(self, owner)

    def expect(self, ticket: Ticket, older: Ticket | None) -> None:
        """See `Ticket.expect`."""
        self._arrivals += 1
        ticket.arrival = older.arrival if older is not None and older.pending else self._arrivals
        ticket.stage = Stage.EXPECTED
        self.expected += 1

    def enter(self, ticket: Ticket) -> None:
        """See `Ticket.enter`."""
        if ticket.stage is Stage.EXPECTED:
            self.expected -= 1
        else:
            self._arrivals += 1
            ticket.arrival = self._arrivals
        turns = self._turns.setdefault(ticket.owner, _Turns(self._turn))
        if not turns.waiting:
            turns.next = max(turns.next, self._turn)
        turns.waiting.append(ticket)
        turns.waiting.sort(key=_by_arrival)
        ticket.stage = Stage.WAITING
        ticket.entered = self._loop.time()
        self.waiting += 1
        self._serve()

    def leave(self, ticket: Ticket) -> None:
        """See `Ticket.leave`."""
        stage, ticket.stage = ticket.stage, Stage.LEFT
        if stage is Stage.EXPECTED:
            self.expected -= 1
        elif stage is Stage.WAITING:
            self._turns[ticket.owner].waiting.remove(ticket)
            self._out(ticket)
        elif stage is Stage.SERVED:
            self.served -= 1
        if stage in (Stage.WAITING, Stage.SERVED):
            self._serve()

    def pause(self, seconds: float | None) -> None:
        """See `Ticket.pause`. An unknown time counts as one second."""
        if self._paused is None:
            bound = min(max(seconds or 1.0, 0.0), LONGEST_PAUSE)
            self._paused = self._loop.call_later(bound, self.go_on)

    def go_on(self) -> None:
        """End a pause."""
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        self._serve()

    def _serve(self) -> None:
        """Serve while there is a slot, then tell the others their places."""
        order = self._order()
        while order and self.served < self.slots and self._paused is None:
            turn, _, ticket = order.pop(0)
            turns = self._turns[ticket.owner]
            turns.waiting.remove(ticket)
            turns.next, self._turn = turn + 1, turn
            self._out(ticket)
            ticket.stage = Stage.SERVED
            self.served += 1
            ticket.move(0)
        for place, (_, _, ticket) in enumerate(order, start=1):
            ticket.move(place)
        if len(self._turns) > self.waiting + self.slots or not self.served:
            self._forget()

    def _order(self) -> list[tuple[int, int, Ticket]]:
        """Return those in line by their turns, and of one turn by their arrival."""
        return sorted(
            (turns.next + number, ticket.arrival, ticket)
            for turns in self._turns.values()
            for number, ticket in enumerate(turns.waiting)
        )

    def _out(self, ticket: Ticket) -> None:
        self.waiting -= 1
        self._waits.observe(self._loop.time() - ticket.entered, self.backend)

    def _forget(self) -> None:
        """Forget owners who are neither in line nor ahead of the others."""
        self._turns = {
            owner: turns
            for owner, turns in self._turns.items()
            if turns.waiting or (self.served and turns.next > self._turn)
        }
        if not self._turns:
            self._turn = 0


def _by_arrival(ticket: Ticket) -> int:
    return ticket.arrival


class Lines:
    """The lines of one server, made when they are first needed. A model server that is not listed has none."""

    line = Line

    def __init__(self, answers: Mapping[str, int], limit: int) -> None:
        self._answers = dict(answers)  # how many answers a model server gives at once, by its name
        self._limit = limit
        self._lines: dict[str, Line] = {}
        self.waits = Histograms(WAITS)  # s, by model server

    def __repr__(self) -> str:
        return f"<Lines {list(self._lines.values())}>"

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def of(self, backend: str) -> Line | None:
        """Return the line in front of a model server, `None` if it takes any number of prompts."""
        line = self._lines.get(backend)
        if line is None and backend in self._answers:
            line = self._lines[backend] = self.line(backend, self._answers[backend], self._limit, self.waits)
        return line

    def close(self) -> None:
        """End all pauses: their timers must not outlive the server."""
        for line in self:
            line.go_on()
