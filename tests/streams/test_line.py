"""The line in front of a model server: who is served next, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.chat.errors import LineFull, UpstreamBusy
from app.chat.notes import in_line
from app.chat.states import Outcome, Status
from app.log.entries import StatusChange
from app.streams.bounds import Bounds
from app.streams.line import Line, Lines, Ticket
from app.streams.registry import Registered
from tests.streams.conftest import OWNER, Heart
from tests.support.puppet import PuppetBackend
from tests.support.waiting import until


def test_a_place_reads_as_an_ordinal() -> None:
    """Also where English has exceptions."""
    places = (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111, 113, 123)
    ordinals = [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "22nd",
        "101st",
        "111th",
        "113th",
        "123rd",
    ]
    assert [in_line(place) for place in places] == [f"{ordinal} in line" for ordinal in ordinals]


# ---- the order -----------------------------------------------------------------------------------------------


@pytest.fixture
async def line() -> Line:
    """One slot."""
    found = Lines({"server": 1}, limit=100).of("server")
    assert found is not None
    return found


def entered(line: Line, owners: str) -> list[Ticket]:
    """Let owners, a letter each, line up."""
    tickets = [line.ticket(owner) for owner in owners]
    for ticket in tickets:
        ticket.enter()
    return tickets


def served(tickets: list[Ticket]) -> Ticket | None:
    """Return the ticket that has the slot."""
    return next((ticket for ticket in tickets if ticket.stage.name == "SERVED"), None)


def order(tickets: list[Ticket]) -> str:
    """Serve all, one after the other, and return their owners."""
    found = ""
    while ticket := served(tickets):
        found += ticket.owner
        ticket.leave()
    return found


async def test_owners_take_turns(line: Line) -> None:
    """However many prompts one of them lines up, everybody else's first comes before that owner's second."""
    assert order(entered(line, "aaaaaabbc")) == "abcabaaaa"


async def test_within_an_owner_the_first_to_come_is_the_first_to_be_served(line: Line) -> None:
    """One owner's line is an ordinary one."""
    first, *others = entered(line, "aaaa")
    for ticket in others:
        first.leave()
        assert served(others) is ticket
        first = ticket


async def test_who_returns_after_each_answer_gets_every_other_turn(line: Line) -> None:
    """Somebody who asks again and again does not starve somebody who has lined up everything at once."""
    flood, back = entered(line, "ffffffff"), entered(line, "p")
    found = ""
    for _ in range(10):
        ticket = served([*flood, *back])
        assert ticket is not None
        found += ticket.owner
        ticket.leave()
        if ticket in back:
            back = entered(line, "p")
    assert found == "fpfpfpfpfp"


async def test_places_are_those_in_which_all_are_served(line: Line) -> None:
    """A newcomer may be served before others who came earlier; then their places say so."""
    tickets = entered(line, "aaa")
    assert [ticket.place for ticket in tickets] == [0, 1, 2]
    [newcomer] = entered(line, "b")
    assert [ticket.place for ticket in (*tickets, newcomer)] == [0, 2, 3, 1]
    tickets[0].leave()
    assert [ticket.place for ticket in (*tickets, newcomer)] == [0, 1, 2, 0]


async def test_a_replaced_ticket_passes_on_its_place(line: Line) -> None:
    """A newer prompt of a waiting chat stands where the older one stood."""
    _, older, behind = entered(line, "aaa")
    newer = line.ticket("a")
    newer.expect(older)
    older.give_up()
    newer.enter()
    assert (newer.place, behind.place) == (1, 2)


async def test_a_ticket_that_has_left_takes_no_slot(line: Line) -> None:
    """Leaving is possible at any time and any number of times, and frees exactly what the ticket had."""
    first, second, third = entered(line, "abc")
    for _ in range(2):
        second.leave()
        first.leave()
    assert (line.served, line.waiting, line.expected) == (1, 0, 0)
    assert served([third]) is third
    expected = line.ticket("d")
    expected.expect()
    expected.give_up()
    expected.enter()
    third.give_up()  # it has a slot, which is not free before its upstream is closed
    assert (line.served, line.waiting, line.expected) == (1, 0, 0)


async def test_nothing_is_kept_of_owners_who_have_left(line: Line) -> None:
    """A thousand strangers leave nothing behind, even while one owner always waits."""
    tickets = entered(line, "aa")
    for number in range(1000):
        stranger = line.ticket(f"stranger {number}")
        stranger.enter()
        holder = served([*tickets, stranger])
        while holder is not stranger:
            assert holder is not None
            holder.leave()
            tickets = [*(each for each in tickets if each is not holder), *entered(line, "a")]
            holder = served([*tickets, stranger])
        stranger.leave()
    assert len(line.owners) <= 3


# ---- in the heart --------------------------------------------------------------------------------------------


@pytest.fixture
async def busy(bounds: Bounds, backend: PuppetBackend) -> AsyncIterator[Heart]:
    """A heart whose model server gives one answer at a time."""
    heart = Heart(bounds, backend, answers=1)
    yield heart
    assert sum(line.waiting + line.expected for line in heart.registry.lines) == 0
    await heart.registry.close()
    assert [(line.served, line.waiting, line.expected) for line in heart.registry.lines] == [(0, 0, 0)]


def notes(heart: Heart, session_id: str) -> list[tuple[str, int]]:
    """Return the notes and places that a session's log tells."""
    entries = heart.registry.session(session_id).log.read(0).entries
    changes = (entry.event for entry in entries)
    return [(change.note, change.place) for change in changes if isinstance(change, StatusChange)]


async def place_of(heart: Heart, registered: Registered, owner: str = OWNER) -> int | None:
    """Return the place in line as the state of a stream tells it."""
    return (await heart.registry.stream_state(owner, registered.stream_id)).place


async def test_what_waits_is_told_its_place(busy: Heart) -> None:
    """In the log, as it moves, and in the state of the stream."""
    await busy.post("a", prompt="a")
    second, third = await busy.post("b", prompt="b"), await busy.post("c", prompt="c")
    await until(lambda: notes(busy, "c") == [("", 0), ("2nd in line", 2)])
    assert (await place_of(busy, second), await place_of(busy, third)) == (1, 2)
    state = await busy.registry.stream_state(OWNER, third.stream_id)
    assert (state.status, state.note) == (Status.THINKING, "2nd in line")
    (await busy.opened("a")).finish()
    await until(lambda: notes(busy, "b") == [("", 0), ("1st in line", 1), ("", 0)])
    await until(lambda: notes(busy, "c") == [("", 0), ("2nd in line", 2), ("1st in line", 1)])
    (await busy.opened("b")).finish()
    (await busy.opened("c")).finish()
    await until(lambda: busy.registry.statistics().ended.get("complete") == 3)
    assert await place_of(busy, third) is None


async def test_a_flooding_owner_slows_nobody(busy: Heart) -> None:
    """Twenty prompts of one owner are in line; another owner's only one is the next to be answered."""
    for number in range(20):
        await busy.post(f"f{number}", prompt=f"f{number}", owner="flood")
    await until(lambda: [line.waiting for line in busy.registry.lines] == [19])
    one = await busy.post("o", prompt="other", owner="other")
    await until(lambda: notes(busy, "o")[-1:] == [("1st in line", 1)])
    (await busy.opened("f0")).finish()
    (await busy.opened("other")).finish()
    asked = [each.request.messages[-1].content for each in busy.backend.generations]
    assert asked == ["f0", "other"]
    await until(lambda: busy.stream_ended("o", one.stream_id))
    for number in range(20):
        await busy.registry.stop_session("flood", f"f{number}", wait=1)


@pytest.mark.parametrize("how", ["stop", "supersede", "delete"])
async def test_what_waits_ends_at_once(busy: Heart, how: str) -> None:
    """It never reaches the model, its upstream counts as closed, and those behind it move up."""
    await busy.post("a", prompt="a")
    second, third = await busy.post("b", prompt="b"), await busy.post("c", prompt="c")
    await until(lambda: busy.stream(third, "c").ticket.place == 2)  # type: ignore[union-attr]
    stream = busy.stream(second, "b")
    if how == "stop":
        state = await busy.registry.stop(OWNER, second.stream_id, wait=5)
        assert (state.outcome, state.upstream_closed) == (Outcome.STOPPED, True)
    elif how == "delete":
        await busy.registry.delete_session(OWNER, "b", wait=5)
    else:
        newer = await busy.post("b", prompt="newer")
        assert await stream.wait_ended(5)
        await until(lambda: notes(busy, "b")[-1] == ("1st in line", 1))
        assert await place_of(busy, newer) == 1
        (await busy.opened("a")).finish()
        (await busy.opened("newer")).finish()
    if how != "supersede":
        assert await place_of(busy, third) == 1
        (await busy.opened("a")).finish()
    (await busy.opened("c")).finish()
    await until(lambda: busy.registry.statistics().active == 0)
    assert "b" not in [each.request.messages[-1].content for each in busy.backend.generations]


async def test_a_newer_prompt_goes_to_the_end_when_the_old_one_had_a_slot(busy: Heart) -> None:
    """A slot is for one answer: who supersedes does not keep others waiting."""
    await busy.post("a", prompt="a")
    await busy.opened("a")
    await busy.post("b", prompt="b", owner="other")
    await until(lambda: [line.waiting for line in busy.registry.lines] == [1])
    await busy.post("a", prompt="newer")
    (await busy.opened("b")).finish()
    (await busy.opened("newer")).finish()
    await until(lambda: busy.registry.statistics().active == 0)


async def test_a_line_has_an_end(backend: PuppetBackend) -> None:
    """A prompt too many is refused before it is stored; a newer one for a waiting chat is not one too many."""
    heart = Heart(Bounds(line_limit=1, viewer_grace=None), backend, answers=1)
    results = await asyncio.gather(
        *(heart.post(f"s{number}", prompt=str(number)) for number in range(5)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, LineFull)]
    assert len(refused) == 3
    assert all(refusal.retry_after >= 1 for refusal in refused)
    await until(lambda: [line.waiting for line in heart.registry.lines] == [1])
    assert [await heart.history.check(OWNER, f"s{number}") for number in range(5)] == [True] * 2 + [False] * 3
    await heart.post("s1", prompt="newer")
    with pytest.raises(LineFull):
        await heart.post("s9")
    await heart.registry.close()


async def test_a_wait_has_a_bound(backend: PuppetBackend) -> None:
    """Past it the stream fails with a sentence, and has never reached the model."""
    heart = Heart(Bounds(line_timeout=0.05, viewer_grace=None), backend, answers=1)
    await heart.post("a", prompt="a")
    stream = heart.stream(await heart.post("b", prompt="b"), "b")
    assert await stream.wait_ended(5)
    assert stream.outcome is Outcome.FAILED
    assert stream.problem is not None
    assert stream.problem.code == "line_timeout"
    assert len(backend.generations) == 1
    await heart.registry.close()


async def test_a_zombie_has_its_slot_until_it_is_fenced(bounds: Bounds) -> None:
    """A model that does not close holds up others for the bound of its stream, and no longer."""
    backend = PuppetBackend(stubborn=True)
    heart = Heart(bounds, backend, answers=1)
    first = heart.stream(await heart.post("a", prompt="a"), "a")
    await heart.opened("a")
    await heart.post("b", prompt="b")
    await heart.registry.stop(OWNER, first.stream_id, wait=0)
    assert len(backend.generations) == 1
    await heart.opened("b")
    assert first.ended.done()
    assert not first.produced.closed
    await heart.registry.close()


async def test_a_server_that_refuses_is_left_alone_for_a_while(busy: Heart) -> None:
    """`Retry-After` holds up the whole line: the next in line would only be refused as well."""
    first = await busy.post("a", prompt="a")
    stream = busy.stream(first, "a")
    await busy.post("b", prompt="b")
    error = UpstreamBusy("busy")
    error.retry_after = 30.0
    (await busy.opened("a")).fail(error)
    assert await stream.wait_ended(5)
    [line] = busy.registry.lines
    assert (line.served, line.waiting) == (0, 1)
    await until(lambda: notes(busy, "b")[-1] == ("1st in line", 1))
    line.go_on()  # as its timer would
    (await busy.opened("b")).finish()
    await until(lambda: busy.registry.statistics().active == 0)


async def test_the_time_in_line_is_measured(busy: Heart) -> None:
    """By model server; who finds a slot free has waited for no time."""
    await busy.post("a", prompt="a")
    await busy.post("b", prompt="b")
    await until(lambda: busy.registry.statistics().lines[0].waiting == 1)
    (await busy.opened("a")).finish()
    (await busy.opened("b")).finish()
    await until(lambda: busy.registry.statistics().active == 0)
    [(labels, waits)] = busy.registry.statistics().line_waits
    assert (labels, waits.count) == (("puppet",), 2)
