"""Whole sessions in every `History`: what goes in comes out, and what is deleted leaves nothing."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from app.chat.archive import Archive, flaw
from app.chat.errors import SessionExists, SessionNotFound, StreamNotFound
from app.chat.records import History, KnownKey
from app.chat.states import Outcome, Status
from tests.history.archives import archive, archives, renamed
from tests.history.samples import OWNER, ended, exchange, failed


async def test_what_is_put_back_is_read_as_it_was(history: History) -> None:
    """Session, messages, streams, keys and pictures: all of it, and in its order."""
    kept = archive()
    await history.restore(OWNER, kept)
    assert await history.archive(OWNER, kept.session_id) == kept
    info, messages = await history.conversation(OWNER, kept.session_id)
    assert (info.title, info.created_at, info.options) == (kept.title, kept.created_at, kept.options)
    assert [message.content for message in messages] == ["hello", "Hi", "Ho", "more"]
    assert [message.parent_id for message in messages] == [message.parent_id for message in kept.messages]
    assert [message.outcome for message in messages] == [None, "complete", "stopped", None]
    assert [image.size for image in messages[0].images] == [4, 3]
    broken = kept.streams[0]
    state = await history.stream(OWNER, broken.stream_id)
    assert (state.status, state.outcome, state.error) == (Status.ENDED, Outcome.FAILED, broken.error)
    assert await history.known_key(OWNER, kept.session_id, "key") == KnownKey(broken.stream_id, "hash")


async def test_an_archive_has_what_was_finished_a_moment_ago(history: History) -> None:
    """Whatever the disk does meanwhile."""
    whole = archive()
    for number in range(20):
        asked = exchange("s", prompt=str(number))
        await history.admit(asked)
        state = failed(asked) if number % 2 else ended(asked)
        await history.finish(state, f"to {number}", "hm")
        whole = await history.archive(OWNER, "s")
        assert [message.content for message in whole.messages][-2:] == [str(number), f"to {number}"]
        assert (whole.streams[-1].outcome, whole.streams[-1].tokens) == (state.outcome, state.tokens)
    assert flaw(whole) is None


async def test_a_session_goes_on_where_it_was_put_back(history: History) -> None:
    """Its next message follows the newest one."""
    kept = archive()
    await history.restore(OWNER, kept)
    admission = await history.admit(exchange(kept.session_id, prompt="next"))
    assert admission.newest == kept.messages[-1].message_id
    assert [message.content for message in await history.messages(OWNER, kept.session_id)][-2:] == [
        "next",
        "",
    ]


async def test_what_was_running_is_interrupted_where_it_is_put_back(history: History) -> None:
    """Nobody writes it any more."""
    asked = exchange("s")
    await history.admit(asked)
    running = await history.archive(OWNER, "s")
    assert running.streams[0].outcome is None
    await history.delete(OWNER, "s")
    await history.restore(OWNER, running)
    assert (await history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED


async def test_a_session_is_not_put_over_another(history: History) -> None:
    """It is refused, and what is there stays."""
    kept = archive()
    await history.restore(OWNER, kept)
    other = msgspec.structs.replace(renamed(kept, lambda: f"new-{next(_ids)}"), session_id=kept.session_id)
    with pytest.raises(SessionExists):
        await history.restore(OWNER, other)
    assert await history.archive(OWNER, kept.session_id) == kept


async def test_a_deleted_session_can_be_put_back_under_its_ids(history: History) -> None:
    """Nothing of it is left in between, so nothing is in the way."""
    kept = archive()
    await history.restore(OWNER, kept)
    for _ in range(3):
        await history.delete(OWNER, kept.session_id)
        with pytest.raises(SessionNotFound):
            await history.archive(OWNER, kept.session_id)
        with pytest.raises(StreamNotFound):
            await history.stream(OWNER, kept.streams[0].stream_id)
        await history.restore(OWNER, kept)
        assert await history.archive(OWNER, kept.session_id) == kept


async def test_to_others_there_is_nothing_to_archive(history: History) -> None:
    """As with everything else of a session."""
    await history.restore(OWNER, archive(session_id="mine"))
    with pytest.raises(SessionNotFound):
        await history.archive("somebody else", "mine")


async def test_many_sessions_are_put_back_at_once(history: History) -> None:
    """Each comes out as it went in."""
    kept = [archive() for _ in range(30)]
    await asyncio.gather(*(history.restore(OWNER, each) for each in kept))
    assert [await history.archive(OWNER, each.session_id) for each in kept] == kept


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(kept=archives())
async def test_export_and_import_lose_nothing(history: History, kept: Archive) -> None:
    """Out as JSON and in again, under other ids: the same session, whatever is in it."""
    await history.restore(OWNER, kept)
    text = msgspec.json.encode(await history.archive(OWNER, kept.session_id))
    read = msgspec.json.decode(text, type=Archive)
    assert read == kept
    assert flaw(read) is None
    ids = itertools.count()
    own = renamed(read, lambda: f"{kept.session_id}-{next(ids)}")
    assert flaw(own) is None
    await history.restore(OWNER, own)
    assert await history.archive(OWNER, own.session_id) == own
    assert shape(own) == shape(kept)


def shape(whole: Archive) -> tuple[object, ...]:
    """All of an archive but its ids: who follows whom by place."""
    places = {message.message_id: place for place, message in enumerate(whole.messages)}
    streams = {stream.stream_id: place for place, stream in enumerate(whole.streams)}
    said = [
        (
            message.role,
            message.content,
            message.reasoning,
            message.created_at,
            places.get(message.parent_id or ""),
            streams.get(message.stream_id or ""),
            [(picture.media_type, picture.data) for picture in message.images],
        )
        for message in whole.messages
    ]
    figures = [
        msgspec.structs.replace(stream, stream_id="", message_id="", continues=None)
        for stream in whole.streams
    ]
    return whole.title, whole.created_at, whole.updated_at, whole.options, said, figures


_ids = itertools.count()
