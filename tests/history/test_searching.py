"""Searches: linear in the text, bounded in time, and in a lane of their own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.errors import LongChatsBusy, SearchBusy, SearchTimeout
from app.chat.scoped_ids import LOCAL
from app.history import sql
from app.history.matching import SLICE, Deadline, holds_ascii, holds_folded, text_holds
from app.history.opening import opened
from app.history.search_lane import LANES, MOST_WAITING, SearchLane
from tests.history.samples import OWNER, ended, exchange
from tests.support.waiting import until

LETTERS = "aAkKsS\u0131\u0130\u017fßẞ\u03c3ςΣ\u212aé水 "


def unhurried() -> None:
    """No time limit."""


@given(text=st.text(LETTERS, max_size=30), word=st.text("aAkKsS ", min_size=1, max_size=4))
@example(text="\u212a", word="k")
@example(text="straße", word="SS")
def test_an_ascii_word_matches_ascii_letters_in_either_case(text: str, word: str) -> None:
    """As `LIKE` of SQLite does, which folds nothing else."""
    folded = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    assert holds_ascii(text.encode(), word.encode(), unhurried) is (word.lower() in folded)


@given(text=st.text(LETTERS, max_size=30), word=st.text(LETTERS, min_size=1, max_size=4))
def test_any_other_word_matches_as_unicode_folds_it(text: str, word: str) -> None:
    """The whole text and the word are folded."""
    expected = word.casefold() in text.casefold()
    assert holds_folded(text.encode(), word, unhurried) is expected
    assert text_holds(text, word.casefold(), unhurried) is expected


@pytest.mark.parametrize("word", ["word", "wörd", "水"])
@pytest.mark.parametrize("shift", [-5, -3, -2, -1, 0, 1])
def test_a_word_across_two_slices_is_found(word: str, shift: int) -> None:
    """Wherever a slice ends, also within a character."""
    text = "é" * ((SLICE + shift) // 2) + "." * (shift % 2) + word + "é" * SLICE
    if word.isascii():
        assert holds_ascii(text.encode(), word.encode(), unhurried)
    assert holds_folded(text.encode(), word, unhurried)
    assert text_holds(text, word, unhurried)
    letters = "a" * (SLICE + shift) + word
    assert text_holds(letters, word, unhurried)
    assert holds_folded(letters.encode(), word, unhurried)


def test_like_letters_cost_what_other_letters_cost() -> None:
    """A pattern of 200 like letters is not compared at every position of a text of such letters."""

    def cost(data: bytes) -> float:
        began = time.thread_time()
        assert not holds_ascii(data, b"a" * 199 + b"b", unhurried)
        return time.thread_time() - began

    text = b"x" * 10_000_000
    assert min(cost(b"a" * len(text)) for _ in range(3)) < 50 * min(cost(text) for _ in range(3)) + 0.05


async def filled(history: sql.SqlHistory, sessions: int, text: str) -> None:
    """Store sessions `s0`, `s1`, … whose answers are `text`."""
    for number in range(sessions):
        asked = exchange(f"s{number}", prompt="hello")
        await history.admit(asked)
        await history.finish(ended(asked), text, "")


async def test_a_search_that_finds_nothing_in_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statement is interrupted, within a text too; the next search runs on the same connection."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, sql.SqlHistory)
        await filled(history, 4, "a" * 500_000)
        monkeypatch.setattr(sql, "SEARCH_SECONDS", 0.0)
        with pytest.raises(SearchTimeout):
            await history.sessions(OWNER, query="nowhere")
        monkeypatch.setattr(sql, "SEARCH_SECONDS", 60.0)
        assert (await history.sessions(OWNER, query="nowhere")).sessions == []
        assert len((await history.sessions(OWNER, query="aaa")).sessions) == 4


async def test_a_search_that_runs_out_of_time_has_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next page goes on behind the last session that was found."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, sql.SqlHistory)
        await filled(history, 6, "text")
        looks = iter(range(100))

        def check(deadline: Deadline) -> None:
            if next(looks) == 5:
                deadline.cancel()
            original(deadline)

        original = Deadline.check
        monkeypatch.setattr(Deadline, "check", check)
        first = await history.sessions(OWNER, query="hello")
        assert 0 < len(first.sessions) < 6
        assert first.next is not None
        rest = await history.sessions(OWNER, query="hello", after=first.next)
        ids = [info.session_id for info in (*first.sessions, *rest.sessions)]
        assert ids == [f"s{number}" for number in range(5, -1, -1)]
        assert rest.next is None


async def test_a_cancelled_search_ends(tmp_path: Path) -> None:
    """Whoever searched has left, so its thread must not go on."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, sql.SqlHistory)
        await filled(history, 2, "a" * 200_000)
        search = asyncio.create_task(history.sessions(OWNER, query="nowhere"))
        await asyncio.sleep(0)
        search.cancel()
        await asyncio.wait({search})
        assert (await history.sessions(OWNER, query="aaa")).next is None


async def test_turns_go_round_the_owners() -> None:
    """The many searches of others delay an owner's by one turn of each at most."""
    lane = SearchLane()
    done: list[str] = []
    go = asyncio.Event()

    async def search(owner: str, name: str) -> None:
        async with lane.turn(owner):
            await go.wait()
            done.append(name)

    greedy = [
        asyncio.create_task(search(owner, f"{owner}{number}")) for owner in "abc" for number in range(6)
    ]
    await asyncio.sleep(0)
    modest = asyncio.create_task(search("modest", "m0"))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait([*greedy, modest])
    assert done.index("m0") <= LANES + 3, "after those that ran, and one of each other owner"
    assert len(done) == 19
    assert lane.is_idle


@pytest.mark.parametrize(("owner", "most"), [("greedy", LANES - 1), (LOCAL, LANES)])
async def test_an_owner_leaves_a_lane_to_others(owner: str, most: int) -> None:
    """Another one's search begins at once. Where there is one owner only, both lanes are theirs."""
    lane = SearchLane()
    go = asyncio.Event()
    running = 0

    async def search() -> None:
        nonlocal running
        async with lane.turn(owner):
            running += 1
            assert running <= most
            await go.wait()
            running -= 1

    tasks = [asyncio.create_task(search()) for _ in range(6)]
    await until(lambda: running == most)
    if most < LANES:
        async with lane.turn("modest"):
            assert running == most
        assert running == most, "its lane is still free"
    go.set()
    await asyncio.gather(*tasks)
    assert lane.is_idle


async def test_many_reads_of_long_sessions_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a browser has tabs. Beyond that, and after a while, the error says that they are long chats."""
    async with opened(None, tmp_path, logger=structlog.get_logger()) as history:
        assert isinstance(history, sql.SqlHistory)
        await filled(history, 1, "hello")
        [message, *_] = await history.messages(OWNER, "s0")
        monkeypatch.setattr(sql, "is_long", lambda connection, session_id: True)
        reads = [history.near(OWNER, "s0", message.message_id, 1) for _ in range(sql.LONG_WAITING)]
        assert len(await asyncio.gather(*reads)) == sql.LONG_WAITING
        reads = [history.near(OWNER, "s0", message.message_id, 1) for _ in range(sql.LONG_WAITING * 2)]
        found = await asyncio.gather(*reads, return_exceptions=True)
        refused = [each for each in found if isinstance(each, BaseException)]
        assert 0 < len(refused) < sql.LONG_WAITING
        assert {type(each) for each in refused} == {LongChatsBusy}


async def test_an_owner_has_a_limit_of_searches() -> None:
    """The next one is refused; others are not."""
    lane = SearchLane()
    go = asyncio.Event()

    async def search(owner: str) -> None:
        async with lane.turn(owner):
            await go.wait()

    tasks = [asyncio.create_task(search("greedy")) for _ in range(MOST_WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(SearchBusy):
        await search("greedy")
    other = asyncio.create_task(search("other"))
    await asyncio.sleep(0)
    assert not other.done()
    go.set()
    await asyncio.wait([*tasks, other])
    assert other.exception() is None


async def test_turns_are_not_lost_when_searches_are_cancelled() -> None:
    """Whether one is cancelled while it waits, while it runs, or at the moment of its turn."""
    lane = SearchLane()
    go = asyncio.Event()

    async def search(owner: str) -> None:
        async with lane.turn(owner):
            await go.wait()

    tasks = [asyncio.create_task(search(f"o{number % 3}")) for number in range(9)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # gives its turn to the next one, which is cancelled before it takes it
    await until(lambda: tasks[0].done())
    for task in tasks[1:4]:
        task.cancel()
    go.set()
    await asyncio.wait(tasks)
    assert sum(task.cancelled() for task in tasks) == 4
    assert lane.is_idle
