"""Requests of one owner take turns: a few are worked on at a time, however many come at once.

A page of a long chat takes tens of milliseconds of the processor. Without turns those of a hundred connections would
all be made before anybody else's. With turns, somebody else waits for a few of them at most.

A turn is held while a response is made. It ends before the response is sent, so that a client who reads slowly holds
up nobody. An owner whose clients leave too much unread gets no turn until they have read some of it: see `Unread`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple, TypeVar

from app.chat.errors import OwnerRequests, OwnerUnread
from app.chat.quotas import is_limited
from app.tasks.reports import report
from app.web.output.unread import Unread

T = TypeVar("T")

EACH = 2  # requests of one owner that are worked on at a time, so that one that is slow does not hold up the others
MOST_WAITING = 256  # of one owner
WAIT = 20.0  # seconds that a request waits for its turn, while the owner's clients read nothing
LONGEST_WAIT = 300.0  # seconds that it waits at all
RETRY = 5.0  # seconds after which a client may try again


class _Waiting(NamedTuple):
    """A request that waits. One whose response has begun is never refused for what is unread: it is read already."""

    turn: asyncio.Future[None]
    begun: bool


class _Line:
    """The requests of one owner."""

    __slots__ = ("waiting", "working")

    def __init__(self) -> None:
        self.working = 0
        self.waiting: deque[_Waiting] = deque()  # the first is next


class Turns:
    """Gives turns by owner, in the order in which they were asked for. Those without limits need none."""

    def __init__(self, unread: Unread, *, most_waiting: int = MOST_WAITING, wait: float = WAIT) -> None:
        self.unread = unread
        unread.on_room = self._pass_on
        self._most_waiting, self._wait = most_waiting, wait
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        working = sum(line.working for line in self._lines.values())
        waiting = sum(len(line.waiting) for line in self._lines.values())
        return f"<Turns working={working} waiting={waiting}>"

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not self._lines

    def of(self, owner: str) -> Turn:
        """Return a turn of this owner that has not been taken yet."""
        return Turn(self, owner)

    async def take(self, owner: str, *, most: float | None = None, begun: bool = False) -> None:
        """Wait for a turn, for `most` seconds if given. Raises `OwnerRequests`.

        With `begun`, for a response that has begun or that keeps what somebody typed, it comes before all others.
        """
        line = self._lines.setdefault(owner, _Line())
        if (begun or not line.waiting) and self._may_work(owner, line, begun):
            line.working += 1
            return
        try:
            if len(line.waiting) >= self._most_waiting and not begun:
                raise self._refusal(owner)
            await self._wait_in(line, owner, most, begun)
        finally:
            self._forget(owner)

    async def _wait_in(self, line: _Line, owner: str, most: float | None, begun: bool) -> None:
        mine = _Waiting(asyncio.get_running_loop().create_future(), begun)
        if begun:
            line.waiting.appendleft(mine)
        else:
            line.waiting.append(mine)
        try:
            await self._until_turn(mine, owner, most)
        except asyncio.CancelledError:
            if mine.turn.done():  # it came at the last moment, and goes to the next one
                self.give_back(owner)
            raise
        finally:
            if not mine.turn.done():
                line.waiting.remove(mine)
        if not mine.turn.done():
            raise self._refusal(owner)

    async def _until_turn(self, mine: _Waiting, owner: str, most: float | None) -> None:
        """Wait for a turn or for its bound. As long as the owner's clients read on, room will come."""
        loop = asyncio.get_running_loop()
        last = loop.time() + (LONGEST_WAIT if most is None else most)
        until = last if mine.begun else min(last, loop.time() + self._wait)
        while not mine.turn.done() and (now := loop.time()) < until:
            await asyncio.wait({mine.turn}, timeout=until - now)
            if not self.unread.lets(owner):
                until = max(until, min(last, self.unread.moved(owner) + self._wait))

    def give_back(self, owner: str) -> None:
        """End a turn that was taken."""
        self._lines[owner].working -= 1
        self._pass_on(owner)

    def _may_work(self, owner: str, line: _Line, begun: bool) -> bool:
        return line.working < EACH and (begun or self.unread.lets(owner))

    def _pass_on(self, owner: str) -> None:
        line = self._lines.get(owner)
        while line is not None and line.waiting and self._may_work(owner, line, line.waiting[0].begun):
            line.working += 1
            line.waiting.popleft().turn.set_result(None)
        self._forget(owner)

    def _forget(self, owner: str) -> None:
        line = self._lines.get(owner)
        if line is not None and not line.working and not line.waiting:
            del self._lines[owner]

    def _refusal(self, owner: str) -> OwnerRequests:
        if self.unread.lets(owner):
            return OwnerRequests("You have too many requests at once. Try again in a moment.", RETRY)
        return OwnerUnread(
            "You have too much open that hasn't been read. Finish or cancel some downloads, then try again.",
            RETRY,
        )


class Turn:
    """The turn of one request. All of it is for one task at a time."""

    __slots__ = ("_has", "_owner", "_turns")

    def __init__(self, turns: Turns, owner: str) -> None:
        self._turns = turns
        self._owner = owner
        self._has = False

    async def take(self, *, most: float | None = None, begun: bool = False) -> None:
        """Wait for the turn as `Turns.take`, unless it is held. Raises `OwnerRequests`."""
        if not self._has and is_limited(self._owner):
            await self._turns.take(self._owner, most=most, begun=begun)
            self._has = True

    def give_back(self) -> None:
        """End the turn, if it is held."""
        if self._has:
            self._has = False
            self._turns.give_back(self._owner)

    def leave_to(self, work: asyncio.Future[Any]) -> None:
        """Let the turn, if it is held, end when `work` does."""
        if self._has:
            self._has = False
            work.add_done_callback(self._worked)

    def _worked(self, work: asyncio.Future[Any]) -> None:
        self._turns.give_back(self._owner)
        if not work.cancelled() and isinstance(error := work.exception(), Exception):
            report("work for a request that was cancelled failed", error)

    @asynccontextmanager
    async def held(self, *, begun: bool = False) -> AsyncIterator[None]:
        """Hold the turn for the duration of the block, and beyond if it was held before. Raises `OwnerRequests`."""
        had = self._has
        await self.take(begun=begun)
        try:
            yield
        finally:
            if not had:
                self.give_back()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let others have the turn for the duration of the block, which waits for turns of another kind."""
        had = self._has
        self.give_back()
        try:
            yield
        except Exception:  # what is refused may be answered with a page; who has left needs no turn
            await self._take_if(had)
            raise
        await self._take_if(had)

    async def _take_if(self, had: bool) -> None:
        if had:
            await self.take()


async def in_thread(turn: Turn | None, work: Callable[[], T]) -> T:
    """Return what `work` does in a thread. If the request is cancelled meanwhile, its turn ends with the thread."""
    working = asyncio.get_running_loop().run_in_executor(None, partial(copy_context().run, work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if turn is not None:
            turn.leave_to(working)
        raise
