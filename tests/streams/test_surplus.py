"""What the logs of chats at rest may take in memory: the ones used last are kept."""

from __future__ import annotations

import pytest

from app.log.cursors import Cursor
from app.streams import sessions
from app.streams.bounds import Bounds
from app.streams.session import Session
from app.streams.surplus import SESSION_BYTES
from tests.streams.conftest import Heart
from tests.support.puppet import PuppetBackend
from tests.support.waiting import stays, until

PROMPT = "x" * 50_000
ONE = len(PROMPT) + SESSION_BYTES + 4096  # bytes that a session takes, and some for its events


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep all the time, and keep nothing only because it was used lately."""
    monkeypatch.setattr(sessions, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(sessions, "FRESH_SECONDS", 0.0)


@pytest.fixture
def bounds() -> Bounds:
    """Room for two of an owner, and for three altogether."""
    return Bounds(viewer_grace=None, owner_resting_bytes=2 * ONE, resting_bytes=3 * ONE)


async def answered(heart: Heart, session_id: str) -> Session:
    """A chat whose answer has ended."""
    posted = await heart.post(session_id, PROMPT, owner=session_id.partition("/")[0])
    session = heart.registry.find(session_id)
    assert session is not None
    stream = session.running
    assert stream is not None
    await until(lambda: stream.generation is not None)
    heart.backend.generations[-1].finish()
    assert await stream.wait_ended(5)
    assert session.log.before(posted.stream_id) == 0
    return session


def dropped(heart: Heart, *sessions: Session) -> bool:
    """Whether all of these are gone."""
    return all(heart.registry.find(session.session_id) is None for session in sessions)


async def test_an_owner_has_so_much_and_others_do_not_suffer(heart: Heart) -> None:
    """The newest are kept, and what another owner used longer ago. Who comes back to a dropped one gets a reset."""
    other = await answered(heart, "small/s")
    chats = [await answered(heart, f"large/{number}") for number in range(4)]
    await until(lambda: dropped(heart, *chats[:2]))
    assert [heart.registry.find(chat.session_id) for chat in (*chats[2:], other)] == [*chats[2:], other]
    cursor = Cursor(chats[0].log.epoch, chats[0].log.head)
    assert heart.registry.session("large/0").log.refusal(cursor) == "epoch"


async def test_all_owners_together_have_so_much(heart: Heart) -> None:
    """Of them all, the chats used last are kept."""
    chats = [await answered(heart, f"owner{number}/s") for number in range(5)]
    await until(lambda: dropped(heart, *chats[:2]))
    assert [heart.registry.find(chat.session_id) for chat in chats[2:]] == chats[2:]


async def test_a_log_that_is_watched_is_emptied(heart: Heart) -> None:
    """Its viewers stay, and who has read everything can come back."""
    watched = await answered(heart, "owner/watched")
    watched.viewer_came("viewer", lambda: None)
    for number in range(2):
        await answered(heart, f"owner/{number}")
    await until(lambda: watched.log.floor == watched.log.head)
    assert heart.registry.find("owner/watched") is watched
    assert watched.log.size == 0
    assert watched.log.refusal(Cursor(watched.log.epoch, watched.log.head)) is None
    assert watched.log.refusal(Cursor(watched.log.epoch, 0)) == "expired"


class TestNoRoom:
    """Nothing may be kept."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """No room."""
        return Bounds(viewer_grace=None, owner_resting_bytes=0, resting_bytes=0)

    async def test_what_was_used_lately_is_kept(self, heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its viewers may be on their way back."""
        monkeypatch.setattr(sessions, "FRESH_SECONDS", 60.0)
        chat = await answered(heart, "owner/s")
        await stays(lambda: heart.registry.find("owner/s") is chat, during=0.1)  # ten sweeps
        assert chat.log.floor == 0

    async def test_a_running_answer_is_no_part_of_it(self, heart: Heart, backend: PuppetBackend) -> None:
        """Its log is bounded by itself."""
        await heart.post("owner/s", PROMPT, owner="owner")
        session = heart.registry.find("owner/s")
        assert session is not None
        await until(lambda: backend.generations)
        await stays(lambda: heart.registry.find("owner/s") is session, during=0.1)  # ten sweeps
        assert session.log.floor == 0
        await until(lambda: backend.generations[0].opened.is_set())
        backend.generations[0].finish()
        await until(lambda: dropped(heart, session))
