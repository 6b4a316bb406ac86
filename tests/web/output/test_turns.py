"""An owner's requests take turns, and one whose clients read nothing gets none."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.chat.errors import OwnerRequests, OwnerUnread
from app.web.output.turns import EACH, Turn, Turns, in_thread
from app.web.output.unread import Unread
from tests.support.waiting import stays, until

MANY = 5


class Desk:
    """What is worked on, and in which order it was begun."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, owner: str = "alice") -> None:
        """Ask for a turn, and go as far as can be gone."""
        self.ends[name] = asyncio.Event()
        self.tasks.append(asyncio.create_task(self._work(name, owner)))
        await settle()

    async def _work(self, name: str, owner: str) -> None:
        turn = self.turns.of(owner)
        await turn.take()
        try:
            self.begun.append(name)
            await self.ends[name].wait()
        finally:
            turn.give_back()

    async def end(self, name: str) -> None:
        """End one."""
        self.ends[name].set()
        await settle()


async def settle() -> None:
    """Let every task go as far as it can without anybody's help."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_few_at_a_time_in_their_order() -> None:
    """The others of this owner wait, and nobody else's does."""
    desk = Desk(Turns(Unread()))
    for number in range(MANY):
        await desk.ask(f"a{number}")
    assert desk.begun == [f"a{number}" for number in range(EACH)]
    await desk.ask("b", "bob")
    assert desk.begun[-1] == "b"
    for number in range(MANY):
        await desk.end(f"a{number}")
    await desk.end("b")
    assert [name for name in desk.begun if name != "b"] == [f"a{number}" for number in range(MANY)]
    assert desk.turns.is_idle


async def test_who_has_the_server_to_themselves_waits_for_nobody() -> None:
    """`local` has no limits."""
    desk = Desk(Turns(Unread()))
    for number in range(MANY):
        await desk.ask(f"l{number}", "local")
    assert len(desk.begun) == MANY
    for number in range(MANY):
        await desk.end(f"l{number}")


async def test_too_many_and_too_long() -> None:
    """Who comes to a full line is refused at once, and who waits for too long then; their places are free again."""
    turns = Turns(Unread(), most_waiting=1, wait=0.05)
    working = [turns.of("alice") for _ in range(EACH)]
    for turn in working:
        await turn.take()
    waiting = asyncio.create_task(turns.of("alice").take())
    await settle()
    with pytest.raises(OwnerRequests, match="too many requests"):
        await turns.of("alice").take()
    with pytest.raises(OwnerRequests):
        await waiting
    for turn in working:
        turn.give_back()
    assert turns.is_idle


@pytest.mark.parametrize("has_come", [False, True])
async def test_who_leaves_keeps_nobody_waiting(has_come: bool) -> None:
    """A waiting request that is cancelled gives its turn to the next one, even at the moment when it comes."""
    turns = Turns(Unread())
    working = [turns.of("alice") for _ in range(EACH)]
    for turn in working:
        await turn.take()
    leaving = asyncio.create_task(turns.of("alice").take())
    await settle()
    following: Turn = turns.of("alice")
    next_one = asyncio.create_task(following.take())
    await settle()
    if has_come:
        working.pop().give_back()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    if not has_come:
        working.pop().give_back()
    await asyncio.wait_for(next_one, 5)
    for turn in (following, *working):
        turn.give_back()
    assert turns.is_idle


async def test_a_turn_is_held_once() -> None:
    """Within a turn it need not be waited for again; given back in the middle it is not given back twice."""
    turns = Turns(Unread())
    turn, other = turns.of("alice"), [turns.of("alice") for _ in range(EACH)]
    async with turn.held(), turn.held():
        turn.give_back()
        for each in other:
            await asyncio.wait_for(each.take(), 5)
    for each in other:
        each.give_back()
    assert turns.is_idle


async def test_a_turn_aside() -> None:
    """Others have it meanwhile, and afterwards it is waited for."""
    turns = Turns(Unread())
    mine = [turns.of("alice") for _ in range(EACH)]
    for turn in mine:
        await turn.take()
    other = turns.of("alice")
    async with mine[0].aside():
        await asyncio.wait_for(other.take(), 5)
        other.give_back()
    with pytest.raises(KeyError):
        async with mine[0].aside():
            raise KeyError
    third = asyncio.create_task(turns.of("alice").take())
    await settle()
    assert not third.done(), "the turn is held again, whatever came of it"
    third.cancel()
    await asyncio.wait({third})
    mine[0].give_back()
    mine[1].give_back()
    assert turns.is_idle


async def test_what_is_unread_stops_an_owner() -> None:
    """Beyond the bound nothing more is made for this owner, until something has been read."""
    unread = Unread(most=100)
    turns = Turns(unread, wait=0.05)
    unread.add("alice", 99)
    turn = turns.of("alice")
    await turn.take()
    unread.add("alice", 1)
    turn.give_back()
    with pytest.raises(OwnerUnread):
        await turns.of("alice").take()
    await turns.of("bob").take()
    patient = Turns(unread)
    waiting = asyncio.create_task(patient.of("alice").take())
    await settle()
    assert not waiting.done()
    unread.add("alice", -1)
    await asyncio.wait_for(waiting, 5)
    unread.add("alice", -99)
    assert unread.of("alice") == 0
    assert unread.lets("alice")


async def test_who_reads_on_gets_a_turn_in_the_end() -> None:
    """A slow line is waited for: the bound counts from the last piece that was taken."""
    unread = Unread(most=100)
    turns = Turns(unread, wait=0.05)
    unread.add("alice", 100)
    waiting = asyncio.create_task(turns.of("alice").take())
    await settle()

    def reads_on() -> bool:
        unread.move("alice")
        return not waiting.done()

    await stays(reads_on, during=0.2)
    unread.add("alice", -1)
    await asyncio.wait_for(waiting, 5)
    turns.give_back("alice")
    assert turns.is_idle


async def test_who_may_wait_less_is_refused_although_others_are_read() -> None:
    """Such as an event stream, whose page would take the silence for a lost connection."""
    unread = Unread(most=100)
    turns = Turns(unread, wait=30)
    unread.add("alice", 100)
    unread.move("alice")
    with pytest.raises(OwnerUnread):
        await asyncio.wait_for(turns.of("alice").take(most=0.01), 5)


async def test_what_has_begun_goes_on() -> None:
    """The next piece of a response comes before others, and whatever is unread; but it takes its turn."""
    unread = Unread(most=100)
    turns = Turns(unread)
    working = [turns.of("alice") for _ in range(EACH)]
    for turn in working:
        await turn.take()
    unread.add("alice", 100)
    new, begun = turns.of("alice"), turns.of("alice")
    first = asyncio.create_task(new.take())
    await settle()
    second = asyncio.create_task(begun.take(begun=True))
    await settle()
    assert not second.done()
    working.pop().give_back()
    await asyncio.wait_for(second, 5)
    assert not first.done()
    unread.add("alice", -100)
    working.pop().give_back()
    await asyncio.wait_for(first, 5)
    for turn in (new, begun):
        turn.give_back()
    assert turns.is_idle


async def test_a_turn_lasts_as_long_as_its_thread() -> None:
    """A client that leaves does not let another request in beside the thread that still works for the first."""
    turns = Turns(Unread())
    turn, ends = turns.of("alice"), threading.Event()

    async def work() -> None:
        async with turn.held():
            await in_thread(turn, lambda: ends.wait(5))

    task = asyncio.create_task(work())
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert not turns.is_idle
    ends.set()
    await until(lambda: turns.is_idle)
