"""Long sessions in every `History`: read in parts, they are what they are as a whole."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.chat.archive import Archive
from app.chat.branches import branch, path, siblings
from app.chat.errors import MessageNotFound, SessionExists, SessionNotFound
from app.chat.message_range import MOST_MESSAGES, WHOLE, MessageRange, bounds
from app.chat.records import Excerpt, History, Message
from app.history.statements import archive as archive_statements
from app.history.statements import long_session
from tests.history.archives import archive, message, name, picture, stream
from tests.history.samples import OWNER, ended, exchange

PARTS = (MessageRange(), WHOLE)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything with more than two messages is long, and is read three at a time."""
    monkeypatch.setattr(long_session, "LONG_CHARACTERS", 3)
    monkeypatch.setattr(long_session, "TOGETHER", 3)
    monkeypatch.setattr(long_session, "SIZES", 3)


def tree(parents: list[int | None]) -> Archive:
    """A session whose message `number` follows message `parents[number]`; prompts and answers by turns."""
    messages: list[Any] = []
    for number, parent in enumerate(parents):
        before = None if parent is None else messages[parent]
        role = "assistant" if before is not None and before.role == "user" else "user"
        answered = None if before is None else before.message_id
        images = [picture(b"x" * number)] if number % 3 == 1 else []
        messages.append(message(answered, role, f"text {number}", images=images, reasoning="hm"))
    return archive(messages=messages, streams=[], keys=[])


def expected(kept: list[Any], through: str | None, part: MessageRange) -> tuple[list[str], list[str]]:
    """The ids of the part and of what comes before it, by the whole."""
    way = branch(kept, through)
    begin, end = bounds(way, part, through)
    ids = [each.message_id for each in way]
    return ids[begin:end], ids[:begin]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_a_part_is_the_same_however_it_is_read(
    history: History, long: None, data: st.DataObject
) -> None:
    """Of any tree, through any message, from and before any other."""
    count = data.draw(st.integers(1, 12))
    parents = [
        data.draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(count)
    ]
    kept = tree(parents)
    await history.restore(OWNER, kept)
    session_id = kept.session_id
    whole = (await history.conversation(OWNER, session_id)).messages
    ids = [each.message_id for each in whole]
    through = data.draw(st.none() | st.sampled_from(ids))
    way = [each.message_id for each in branch(whole, through)]
    part = data.draw(
        st.sampled_from(PARTS)
        | st.builds(MessageRange, since=st.sampled_from(ids), before=st.none() | st.sampled_from(way))
    )
    found = await history.excerpt(OWNER, session_id, through, part, entire=True)
    assert ([each.message_id for each in found.messages], found.earlier) == expected(whole, through, part)
    assert found.newest == way[-1]
    by_id = {each.message_id: each for each in whole}
    assert found.messages == [by_id[each.message_id] for each in found.messages]
    families = siblings(whole)
    for each in [*found.earlier, *(each.message_id for each in found.messages)]:
        assert found.families.get(each, [each]) == families[each]
    way_here = path(whole, ids[-1])
    near = path(await history.near(OWNER, session_id, ids[-1], 100), ids[-1])
    assert len(near) >= min(2, len(way_here))
    assert near == way_here[-len(near) :]


async def all_of(history: History, found: Excerpt, session_id: str) -> list[str]:
    """The texts of a branch, read in parts."""
    texts: list[str] = []
    while len(texts) < len(found.earlier):
        some = await history.some(OWNER, session_id, found.earlier[len(texts) :])
        assert some
        texts += [each.content for each in some]
    return texts + [each.content for each in found.messages]


async def test_a_long_branch_is_read_in_parts(history: History) -> None:
    """The newest part with the excerpt, the others by their ids; all of it is there once."""
    count = MOST_MESSAGES + 500
    kept = tree([None, *range(count - 1)])
    await history.restore(OWNER, kept)
    found = await history.excerpt(OWNER, kept.session_id, None, MessageRange())
    assert 0 < len(found.messages) <= 41
    found = await history.excerpt(OWNER, kept.session_id, None, WHOLE)
    assert len(found.messages) <= MOST_MESSAGES
    assert await all_of(history, found, kept.session_id) == [f"text {number}" for number in range(count)]
    with pytest.raises(SessionNotFound):
        await history.excerpt("somebody else", kept.session_id, None, WHOLE)
    with pytest.raises(SessionNotFound):
        await history.near("somebody else", kept.session_id, kept.messages[-1].message_id, 10)


async def path_to(history: History, session_id: str, message_id: str) -> list[Message]:
    """The path to a message, from what is near it."""
    return path(await history.near(OWNER, session_id, message_id, 10), message_id)


async def test_what_is_not_written_yet_is_in_a_part(history: History, long: None) -> None:
    """An answer that has just ended, and no exchange that was just discarded."""
    kept = tree([None, 0, 1, 2])
    await history.restore(OWNER, kept)
    for number in range(5):
        asked = exchange(kept.session_id, prompt=f"prompt {number}", follows_newest=True)
        await history.admit(asked)
        await history.finish(ended(asked), f"answer {number}", "")
        found = await history.excerpt(OWNER, kept.session_id, None, MessageRange())
        assert [each.content for each in found.messages][-2:] == [f"prompt {number}", f"answer {number}"]
        if number % 2:
            await history.discard(asked.stream.stream_id)
            found = await history.excerpt(OWNER, kept.session_id, None, MessageRange())
            assert f"prompt {number}" not in [each.content for each in found.messages]
            with pytest.raises(MessageNotFound):
                await path_to(history, kept.session_id, asked.prompt.message_id)


async def test_a_session_is_written_piece_by_piece(history: History) -> None:
    """Nobody sees it before it is finished; without an end nothing of it is left."""
    kept = archive()
    session_id = kept.session_id
    async with history.writing(OWNER, session_id) as writer:
        await writer.add(kept.messages[:1])
        await writer.add(kept.messages[1:], kept.streams, kept.keys)
        with pytest.raises(SessionNotFound):
            await history.session(OWNER, session_id)
        assert (await history.sessions(OWNER)).sessions == []
        await writer.finish(kept)
    assert await history.archive(OWNER, session_id) == kept
    with pytest.raises(SessionExists):
        async with history.writing(OWNER, session_id):
            pass
    other = archive()
    with suppress(ZeroDivisionError):
        async with history.writing(OWNER, other.session_id) as writer:
            await writer.add(other.messages, other.streams)
            raise ZeroDivisionError
    await asyncio.sleep(0)
    assert [info.session_id for info in (await history.sessions(OWNER)).sessions] == [session_id]


async def test_a_long_session_is_deleted_completely(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In steps, of which nobody sees one; its id can be used again."""
    monkeypatch.setattr(archive_statements, "LONG", 2)
    monkeypatch.setattr(archive_statements, "PRUNED", 3)
    kept = tree([None, *range(20)])
    kept = msgspec.structs.replace(kept, streams=[stream(name("answer")) for _ in range(7)])
    other = tree([None, 0])
    for _ in range(2):
        await history.restore(OWNER, kept)
        if not (await history.sessions(OWNER)).sessions[1:]:
            await history.restore(OWNER, other)
        await history.delete(OWNER, kept.session_id)
        with pytest.raises(SessionNotFound):
            await history.session(OWNER, kept.session_id)
        with pytest.raises(SessionNotFound):
            await history.delete(OWNER, kept.session_id)
    assert await history.archive(OWNER, other.session_id) == other
    assert await history.check(OWNER, kept.session_id) is False


async def test_records_of_a_long_session_are_its_archive(history: History, long: None) -> None:
    """Piece by piece, in the same order."""
    kept = archive(keys=[])
    await history.restore(OWNER, kept)
    records = await history.records(OWNER, kept.session_id)
    if records is None:  # nothing is long for this history
        return
    messages: list[Any] = []
    while len(messages) < len(records.messages):
        messages += await history.archived_messages(OWNER, kept.session_id, records.messages[len(messages) :])
    assert messages == kept.messages
    assert await history.archived_streams(OWNER, kept.session_id, records.streams) == kept.streams
