"""What owners have stored, in every `History`: counted whatever happens, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from app.chat.contents import Image, Problem
from app.chat.errors import OwnerBytes, OwnerSessions, ServerFull, StorageFull
from app.chat.ports import ImageData, Options
from app.chat.quotas import MESSAGE_BYTES, StorageLimits, Usage
from app.chat.records import Exchange, History
from app.chat.scoped_ids import LOCAL
from app.chat.states import Outcome
from app.history.opening import MEMORY, opened
from app.history.stored_bytes import of_archive
from tests.history.archives import archive, message, name, renamed, stream
from tests.history.samples import OWNER, continued, ended, exchange, failed, regenerated

PAIR = 2 * MESSAGE_BYTES  # a prompt and its answer without their texts
KINDS = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


async def settled(history: History, session_id: str = "s", owner: str = OWNER) -> Usage:
    """What the owner has stored, once all is written."""
    if await history.check(owner, session_id):
        await history.archive(owner, session_id)
    return await history.usage(owner)


async def test_prompts_and_answers_are_counted_in_bytes(history: History) -> None:
    """Of UTF-8, with the reasoning; finishing twice counts once."""
    assert await history.usage(OWNER) == Usage()
    asked = exchange(prompt="für")
    await history.admit(asked)
    assert await settled(history) == Usage(1, PAIR + 4)
    for _ in range(2):
        await history.finish(ended(asked), "Größe", "hm")
    assert await settled(history) == Usage(1, PAIR + 4 + 7 + 2)
    await history.admit(exchange("other", prompt="x"))
    assert await settled(history, "other") == Usage(2, 2 * PAIR + 4 + 7 + 2 + 1)
    assert await history.usage("somebody else") == Usage()


async def test_a_continued_answer_counts_once(history: History) -> None:
    """Its new text replaces the old one."""
    asked = exchange(prompt="hello")
    await history.admit(asked)
    await history.finish(failed(asked), "half", "")
    _, answer = await history.messages(OWNER, "s")
    again = continued(asked, answer)
    await history.admit(again)
    assert await settled(history) == Usage(1, PAIR + 5 + 4)
    await history.finish(ended(again), "half and half", "")
    assert await settled(history) == Usage(1, PAIR + 5 + 13)


async def test_a_regenerated_answer_adds_a_message(history: History) -> None:
    """The prompt is there already."""
    asked = exchange(prompt="hello")
    await history.admit(asked)
    await history.finish(ended(asked), "one", "")
    again = regenerated(asked)
    await history.admit(again)
    await history.finish(ended(again), "another", "")
    assert await settled(history) == Usage(1, PAIR + MESSAGE_BYTES + 5 + 3 + 7)


def with_image(asked: Exchange, size: int) -> Exchange:
    """The prompt with an image."""
    prompt = msgspec.structs.replace(asked.prompt, images=[Image("image", "image/png", size)])
    return msgspec.structs.replace(asked, prompt=prompt, pictures=[ImageData("image/png", bytes(size))])


async def test_what_is_taken_back_is_not_counted(history: History) -> None:
    """A rolled back exchange with its image, a withdrawn prompt, and a chat that began with one."""
    first = exchange(prompt="hello")
    await history.admit(first)
    await history.finish(ended(first), "Hi", "")
    before = await settled(history)
    dropped = with_image(exchange(prompt="more"), 100)
    await history.admit(dropped)
    assert await settled(history) == Usage(1, before.bytes + PAIR + 4 + 100)
    await history.finish(ended(dropped), "text", "")
    await history.discard(dropped.stream.stream_id)
    assert await settled(history) == before
    withdrawn = exchange(prompt="never mind")
    await history.admit(withdrawn)
    await history.withdraw(withdrawn.stream.stream_id)
    assert await settled(history) == before
    alone = exchange("alone", prompt="never mind")
    await history.admit(alone)
    await history.withdraw(alone.stream.stream_id)
    assert await settled(history) == before


async def test_options_are_counted(history: History) -> None:
    """A system prompt takes room like any other text."""
    await history.admit(exchange(prompt="hello"))
    before = await settled(history)
    options = Options(system="x" * 1000)
    await history.configure(OWNER, "s", options)
    assert (await settled(history)).bytes == before.bytes + len(msgspec.json.encode(options))
    await history.configure(OWNER, "s", Options())
    assert await settled(history) == before
    await history.admit(exchange(prompt="", remember=options))
    assert (await settled(history)).bytes == before.bytes + PAIR + len(msgspec.json.encode(options))


async def test_a_deleted_chat_frees_its_room_and_its_undo_takes_it_again(history: History) -> None:
    """With all that it has, images, keys and options included."""
    kept = archive()
    await history.restore(OWNER, kept)
    await history.configure(OWNER, kept.session_id, Options(system="be brief"))
    before = await settled(history, kept.session_id)
    assert before.sessions == 1
    assert before.bytes == of_archive(await history.archive(OWNER, kept.session_id))
    await history.delete(OWNER, kept.session_id, undoable=True)
    assert await history.usage(OWNER) == Usage()
    await history.undelete(OWNER, kept.session_id, kept.session_id)
    assert await settled(history, kept.session_id) == before


@pytest.mark.parametrize("kind", KINDS)
async def test_counts_outlive_a_restart(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """They are on disk with what they count, also after a crash in the middle of an answer."""
    if kind == "memory":
        pytest.skip("nothing in memory outlives a restart")
    url = await request.getfixturevalue("postgres").database() if kind == "postgresql" else None
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        asked = exchange(prompt="hello")
        await history.admit(asked)
        await history.finish(ended(asked), "x" * 1000, "")
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        assert await history.usage(OWNER) == Usage(1, PAIR + 5 + 1000)


# ---- limits --------------------------------------------------------------------------------------------------


@pytest.fixture(params=KINDS)
async def small(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """A history with room for two sessions and ten messages of an owner, and for a few more of all owners."""
    url: str | None = MEMORY if request.param == "memory" else None
    if request.param == "postgresql":
        url = await request.getfixturevalue("postgres").database()
    limits = StorageLimits(owner_sessions=2, owner_bytes=10 * MESSAGE_BYTES, stored_bytes=16 * MESSAGE_BYTES)
    async with opened(url, tmp_path, logger=structlog.get_logger(), limits=limits) as history:
        yield history


async def refused(history: History, kind: type[StorageFull], session_id: str, **more: Any) -> None:
    """Be refused, with nothing stored."""
    asked = exchange(session_id, **more)
    for info in (await history.sessions(asked.owner)).sessions:
        await settled(history, info.session_id, asked.owner)
    before = await history.usage(asked.owner), await history.sessions(asked.owner)
    with pytest.raises(kind) as refusal:
        await history.admit(asked)
    assert refusal.value.retry_after >= 1
    assert (await history.usage(asked.owner), await history.sessions(asked.owner)) == before


async def test_an_owner_keeps_so_many_chats_and_no_more(small: History) -> None:
    """A deleted one makes room; prompts in those that are there are welcome; others have their own."""
    for session_id in "ab":
        await small.admit(exchange(session_id, prompt=""))
    await refused(small, OwnerSessions, "new")
    assert await small.check(OWNER, "new") is False
    await small.admit(exchange("a", prompt=""))
    await small.admit(exchange("c", prompt="", owner="somebody else"))
    with pytest.raises(OwnerSessions):
        await small.restore(OWNER, renamed(archive(), iter(map(str, range(1000))).__next__))
    await small.delete(OWNER, "b")
    await small.admit(exchange("new", prompt=""))


async def test_an_owner_keeps_so_many_bytes_and_no_more(small: History) -> None:
    """Whether they come as a prompt, an image, options or an import; what is deleted makes room."""
    await small.admit(exchange("a", prompt="x" * 8 * MESSAGE_BYTES))
    await refused(small, OwnerBytes, "a", prompt="y")
    await refused(small, OwnerBytes, "new", prompt="y")
    with pytest.raises(OwnerBytes):
        await small.configure(OWNER, "a", Options(system="z"))
    with pytest.raises(OwnerBytes):
        await small.restore(OWNER, renamed(archive(), iter(map(str, range(1000))).__next__))
    await small.delete(OWNER, "a")
    image = with_image(exchange("a", prompt=""), 9 * MESSAGE_BYTES)
    with pytest.raises(OwnerBytes):
        await small.admit(image)
    await small.admit(exchange("a", prompt="y"))


async def test_imported_streams_without_a_message_are_counted(small: History) -> None:
    """Nothing is stored for nothing. Those with a message count with that."""
    spare = [
        stream("none", outcome=Outcome.FAILED, error=Problem("c", "x" * MESSAGE_BYTES)) for _ in range(2)
    ]
    asked = message(None, "user", "", stream_id=name("stream"))
    own = stream(asked.message_id, stream_id=asked.stream_id)
    kept = archive(options=Options(), messages=[asked], streams=[own, *spare], keys=[])
    await small.restore(OWNER, kept)
    used = await small.usage(OWNER)
    assert used == Usage(1, of_archive(kept))
    assert used.bytes > 5 * MESSAGE_BYTES
    more = archive(messages=[], streams=[stream("none") for _ in range(6)], keys=[])
    with pytest.raises(OwnerBytes):
        await small.restore(OWNER, more)
    await small.delete(OWNER, kept.session_id)
    assert await small.usage(OWNER) == Usage()


async def test_shorter_options_are_always_taken(small: History) -> None:
    """Whoever is over the limit must be able to make things smaller."""
    asked = exchange("a", prompt="hello", remember=Options(system="x" * MESSAGE_BYTES))
    await small.admit(asked)
    await small.finish(ended(asked), "y" * 8 * MESSAGE_BYTES, "")
    await refused(small, OwnerBytes, "a", prompt="z")
    await small.configure(OWNER, "a", Options(system="x"))
    await small.configure(OWNER, "a", Options())


async def test_the_undo_of_a_deletion_is_never_refused(small: History) -> None:
    """It was there ten seconds ago."""
    for session_id in "ab":
        await small.admit(exchange(session_id, prompt=""))
    await small.delete(OWNER, "a", undoable=True)
    await small.admit(exchange("c", prompt=""))
    await small.undelete(OWNER, "a", "a")
    assert (await small.usage(OWNER)).sessions == 3


async def test_the_whole_server_has_a_bound(small: History) -> None:
    """It holds for `local` too, who has no other."""
    for number in range(5):
        await small.admit(exchange(f"l{number}", prompt="", owner=LOCAL))
    await small.admit(exchange("a", prompt="x" * 4 * MESSAGE_BYTES))
    await refused(small, ServerFull, "new", owner="somebody else")
    await refused(small, ServerFull, "new", owner=LOCAL)
    await small.delete(LOCAL, "l0")
    await small.admit(exchange("new", prompt="", owner=LOCAL))


async def test_a_repeated_key_needs_no_room(small: History) -> None:
    """It stores nothing."""
    first = exchange("a", prompt="x" * 8 * MESSAGE_BYTES, key="k", request_hash="h")
    await small.admit(first)
    again = exchange("a", prompt="x" * 8 * MESSAGE_BYTES, key="k", request_hash="h")
    admission = await small.admit(again)
    assert admission.known is not None
    assert admission.known.stream_id == first.stream.stream_id
