"""Answers while they grow: what the disk has of them, how often, and what a crash leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import event

from app.chat.growing_text import GrowingText
from app.chat.records import Exchange
from app.chat.states import Outcome, Status
from app.history.opening import FILE, opened
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.write_queue.writer import TICK
from tests.history.files import crash_image, rows
from tests.history.samples import OWNER, continued, ended, exchange
from tests.support.recorder import Recorder
from tests.support.waiting import stays, until

PIECES = "SELECT kind, start, tokens, text FROM pieces ORDER BY kind, start"


def growing(history: SqlHistory, asked: Exchange) -> tuple[GrowingText, GrowingText]:
    """Let an answer grow; return the texts that it grows in."""
    texts, thoughts = GrowingText(), GrowingText()
    history.follow(asked.stream.stream_id, texts, thoughts)
    return texts, thoughts


async def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    """Each piece begins where the last one ended, so the cost is linear in the length of the answer."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange()
        await history.admit(asked)
        texts, thoughts = growing(history, asked)  # type: ignore[arg-type]
        thoughts.add(["let", " me"])
        texts.add(["a", "b"])
        await until(lambda: len(rows(tmp_path, PIECES)) == 2)
        texts.add(["c"])
        await until(lambda: len(rows(tmp_path, PIECES)) == 3)
        assert rows(tmp_path, PIECES) == [
            ("reasoning", 0, 2, "let me"),
            ("token", 0, 2, "ab"),
            ("token", 2, 1, "c"),
        ]


async def test_at_its_end_the_answer_takes_the_place_of_its_pieces(tmp_path: Path) -> None:
    """No text is kept twice."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange()
        await history.admit(asked)
        texts, _ = growing(history, asked)  # type: ignore[arg-type]
        texts.add(["a", "b"])
        await until(lambda: rows(tmp_path, PIECES))
        await history.finish(ended(asked), "abc", "")
        await until(lambda: not rows(tmp_path, PIECES))
        answer = "SELECT content FROM messages WHERE role = 'assistant'"
        assert rows(tmp_path, answer) == [("abc",)]


async def test_all_streams_share_one_transaction(tmp_path: Path) -> None:
    """However many streams grow by however many tokens, the disk sees a few transactions a second."""
    async with (
        SqliteDatabase.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        asked = [exchange(f"s{number}") for number in range(50)]
        await asyncio.gather(*map(history.admit, asked))
        lists = [growing(history, each)[0] for each in asked]
        commits: list[object] = []
        event.listen(database.engine, "commit", commits.append)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (passed := loop.time() - begun) < 3 * TICK:
            for texts in lists:
                texts.add(["token "])
            await asyncio.sleep(0)
        grown = sum(map(len, lists))
        # Beside the growth there may be one `tend`.
        assert 1 <= len(commits) <= passed / TICK + 2 < grown / 50
        await until(lambda: rows(tmp_path, "SELECT sum(tokens) FROM pieces") == [(grown,)])


async def test_a_waiting_stream_costs_no_transaction(tmp_path: Path) -> None:
    """Nothing has grown, so nothing is written."""
    async with (
        SqliteDatabase.opened(tmp_path / FILE) as database,
        SqlHistory.on(database, Recorder()) as history,
    ):
        asked = exchange()
        await history.admit(asked)
        growing(history, asked)
        begins: list[object] = []
        event.listen(
            database.engine,
            "before_cursor_execute",
            lambda *arguments: begins.append(arguments[2]),
        )
        await stays(lambda: not any("BEGIN" in str(statement) for statement in begins), during=3 * TICK)


async def test_after_a_crash_an_answer_is_interrupted_with_its_text_so_far(tmp_path: Path) -> None:
    """Before anybody can ask: the outcome, the text, the reasoning and the figures that the disk had."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked, done = exchange(), exchange("other")
        await history.admit(asked)
        await history.admit(done)
        await history.finish(ended(done), "finished", "")
        texts, thoughts = growing(history, asked)  # type: ignore[arg-type]
        thoughts.add(["hm"])
        texts.add(["one", " two"])
        await until(lambda: len(rows(tmp_path, PIECES)) == 2)
        image = crash_image(tmp_path, tmp_path / "crashed")
    logger = Recorder()
    async with opened(None, image, logger=logger) as history:
        _, answer = await history.messages(OWNER, "s")
        assert (answer.content, answer.reasoning, answer.outcome) == ("one two", "hm", Outcome.INTERRUPTED)
        state = await history.stream(OWNER, asked.stream.stream_id)
        assert (state.status, state.outcome, state.tokens) == (Status.ENDED, Outcome.INTERRUPTED, 2)
        assert state.upstream_closed
        assert answer.duration_ms == state.duration_ms
        _, finished = await history.messages(OWNER, "other")
        assert (finished.content, finished.outcome) == ("finished", Outcome.COMPLETE)
        assert ("history_recovered", {"interrupted": 1}) in logger.lines
        await history.admit(exchange(prompt="goes on"))
        assert len(await history.messages(OWNER, "s")) == 4


async def test_a_crash_leaves_a_continued_answer_with_all_of_its_text(tmp_path: Path) -> None:
    """What it had, and what was added; and it can be continued again."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange()
        await history.admit(asked)
        await history.finish(ended(asked, Outcome.STOPPED), "one", "hm")
        image = tmp_path
        for number, words in enumerate((" two", " three")):
            again = continued(asked, (await history.messages(OWNER, "s"))[-1])
            await history.admit(again)
            texts, thoughts = growing(history, again)  # type: ignore[arg-type]
            texts.add([words])
            thoughts.add(["m"])
            await until(lambda: len(rows(tmp_path, PIECES)) == 2)
            image = crash_image(tmp_path, tmp_path / f"crashed{number}")
            await history.finish(ended(again, Outcome.FAILED), "one" + " two", "hmm")
    async with opened(None, image, logger=Recorder()) as history:
        answer = (await history.messages(OWNER, "s"))[-1]
        assert (answer.content, answer.reasoning) == ("one two three", "hmmm")
        assert answer.outcome is Outcome.INTERRUPTED


async def test_what_an_answer_had_thought_before_it_began_anew_is_gone(tmp_path: Path) -> None:
    """It broke off before its first word, so the thoughts of the second attempt are the only ones, crash or not."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange()
        await history.admit(asked)
        await history.finish(ended(asked, Outcome.STOPPED), "", "hm")
        again = continued(asked, (await history.messages(OWNER, "s"))[-1])
        await history.admit(again)
        texts, thoughts = growing(history, again)  # type: ignore[arg-type]
        thoughts.add(["oh"])
        texts.add(["yes"])
        await until(lambda: len(rows(tmp_path, PIECES)) == 2)
        image = crash_image(tmp_path, tmp_path / "crashed")
    async with opened(None, image, logger=Recorder()) as history:
        answer = (await history.messages(OWNER, "s"))[-1]
        assert (answer.content, answer.reasoning) == ("yes", "oh")


async def test_a_prompt_is_on_disk_before_admit_returns(tmp_path: Path) -> None:
    """A server that dies at that very moment has it, with its key."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange(prompt="durable", key="k", request_hash="h")
        await history.admit(asked)
        image = crash_image(tmp_path, tmp_path / "crashed")
    async with opened(None, image, logger=Recorder()) as history:
        assert [message.content for message in await history.messages(OWNER, "s")] == ["durable", ""]
        assert await history.known_key(OWNER, "s", "k") == (asked.stream.stream_id, "h")


async def test_what_was_finished_is_on_disk_when_the_history_closes(tmp_path: Path) -> None:
    """An orderly end loses nothing, however short it comes after the answer."""
    asked = [exchange(f"s{number}") for number in range(300)]  # more than one batch
    async with opened(None, tmp_path, logger=Recorder()) as history:
        await asyncio.gather(*map(history.admit, asked))
        for each in asked:
            await history.finish(ended(each), "said", "")
            await history.discard(each.stream.stream_id) if each is asked[0] else None
    assert rows(tmp_path, "SELECT count(*) FROM messages WHERE content = 'said'") == [(299,)]
    assert rows(tmp_path, "SELECT count(*) FROM streams WHERE outcome = 'complete'") == [(300,)]


async def test_a_dropped_answer_grows_no_more(tmp_path: Path) -> None:
    """Nothing is kept of a session that was deleted while its answer grew."""
    async with opened(None, tmp_path, logger=Recorder()) as history:
        asked = exchange()
        await history.admit(asked)
        texts, _ = growing(history, asked)  # type: ignore[arg-type]
        texts.add(["a"])
        await until(lambda: rows(tmp_path, PIECES))
        await history.delete(OWNER, "s")
        texts.add(["b"])
        await stays(lambda: rows(tmp_path, PIECES) == [], during=2 * TICK)
    for table in ("sessions", "streams", "messages", "pieces", "keys"):
        assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)], table


@pytest.mark.parametrize("text", ["nul \0 inside", "lone \ud800 surrogate"])
async def test_what_no_database_can_hold_is_replaced(tmp_path: Path, text: str) -> None:
    """The rest of the text is kept, and the writer goes on."""
    logger = Recorder()
    async with opened(None, tmp_path, logger=logger) as history:
        asked = exchange(prompt=text)
        await history.admit(asked)
        texts, _ = growing(history, asked)  # type: ignore[arg-type]
        texts.add([text])
        await until(lambda: rows(tmp_path, PIECES))
        await history.finish(ended(asked), text, text)
    replaced = text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert rows(tmp_path, "SELECT content FROM messages") == [(replaced,), (replaced,)]
    assert "history_batch_refused" not in logger.events
