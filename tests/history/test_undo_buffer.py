"""Deleted sessions that wait for their undo: nobody's is lost because somebody else deletes much."""

from __future__ import annotations

import msgspec
import pytest

from app.chat.errors import NothingToRestore
from app.chat.undo import MOST, MOST_BYTES
from app.history.undo_buffer import UndoBuffer
from tests.history.archives import archive


async def test_a_flood_of_deletions_drops_only_its_own() -> None:
    """Of the owner who holds most the oldest goes first."""
    deleted, mine = UndoBuffer(), archive()
    deleted.put("other", mine)
    for number in range(3 * MOST):
        deleted.put("flood", msgspec.structs.replace(archive(), session_id=f"s{number}"))
    assert len(deleted) == MOST
    deleted.take("flood", f"s{3 * MOST - 1}")
    with pytest.raises(NothingToRestore):
        deleted.take("flood", "s0")
    assert deleted.take("other", mine.session_id) == mine
    deleted.clear()


async def test_a_few_large_ones_count_like_many_small_ones() -> None:
    """It is what they take up that is shared."""
    deleted = UndoBuffer()
    long = msgspec.structs.replace(archive().messages[0], content="x" * (MOST_BYTES // 4))
    for number in range(6):
        deleted.put("other", msgspec.structs.replace(archive(), session_id=f"o{number}"))
    for number in range(6):
        deleted.put("flood", msgspec.structs.replace(archive(), session_id=f"s{number}", messages=[long]))
    for number in range(6):
        deleted.take("other", f"o{number}")
    deleted.clear()
