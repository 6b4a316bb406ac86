"""Access tokens and sign-ins as each kind of history stores them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.chat.tokens import SignIn, TokenStore
from app.history.opening import FILE, MEMORY, opened
from app.history.sqlite import SqliteDatabase
from app.history.tokens import SqlTokens
from app.tokens import new_token
from tests.support.recorder import Recorder

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TokenStore]:
    """The tokens of a history of each kind."""
    url: Any = MEMORY if request.param == "memory" else None
    if request.param == "postgresql":
        url = await request.getfixturevalue("postgres").database()
    async with opened(url, tmp_path, logger=Recorder()) as history:
        yield history.tokens


def signed_in(name: str, token_id: str, minutes: int = 0) -> SignIn:
    """A sign-in, so many minutes after `NOW`."""
    return SignIn(name, token_id, NOW + timedelta(minutes=minutes))


async def test_a_token_is_found_as_it_was_put(store: TokenStore) -> None:
    """With its times, by name; the last use is stored on its own."""
    _, bob = new_token("bob", is_admin=True, days=None, now=NOW)
    _, alice = new_token("alice", is_admin=False, days=7, now=NOW)
    assert not await store.put(bob)
    assert not await store.put(alice)
    assert (await store.known()).tokens == [alice, bob]
    assert alice.expires_at == NOW + timedelta(days=7)
    at = NOW + timedelta(hours=1)
    await store.used(bob.token_id, at)
    await store.used("no such token", at)
    assert [token.used_at for token in (await store.known()).tokens] == [None, at]


async def test_a_name_has_one_token(store: TokenStore) -> None:
    """A new one replaces the old one and ends its sign-ins, not those of others."""
    _, old = new_token("alice", is_admin=True, days=None, now=NOW)
    _, new = new_token("alice", is_admin=False, days=None, now=NOW)
    await store.put(old)
    for sign_in in (signed_in("a", old.token_id), signed_in("b", "another token")):
        await store.sign_in(sign_in, since=NOW, most=9)
    assert await store.put(new)
    known = await store.known()
    assert known.tokens == [new]
    assert [each.sign_in_id for each in known.sign_ins] == ["b"]


async def test_a_revoked_token_is_gone_with_its_sign_ins(store: TokenStore) -> None:
    """Revoking tells whether there was one."""
    _, token = new_token("alice", is_admin=False, days=None, now=NOW)
    await store.put(token)
    await store.sign_in(signed_in("a", token.token_id), since=NOW, most=9)
    assert await store.revoke("alice")
    assert not await store.revoke("alice")
    assert await store.known() == ([], [])


async def test_sign_ins_are_bounded(store: TokenStore) -> None:
    """The oldest go: those beyond the number for a token, and those before a time."""
    for number in range(4):
        await store.sign_in(signed_in(f"a{number}", "one", number), since=NOW, most=3)
    await store.sign_in(signed_in("b", "two", 5), since=NOW, most=3)
    names = [each.sign_in_id for each in (await store.known()).sign_ins]
    assert sorted(names) == ["a1", "a2", "a3", "b"]
    await store.sign_in(signed_in("c", "two", 9), since=NOW + timedelta(minutes=3), most=3)
    assert sorted(each.sign_in_id for each in (await store.known()).sign_ins) == ["a3", "b", "c"]
    await store.sign_out("b")
    await store.sign_out("b")
    assert sorted(each.sign_in_id for each in (await store.known()).sign_ins) == ["a3", "c"]


async def test_another_process_may_change_a_file_in_use(tmp_path: Path) -> None:
    """What it writes is read here at once, and the file stays with the server that has its lock."""
    _, token = new_token("alice", is_admin=False, days=None, now=NOW)
    async with (
        opened(None, tmp_path, logger=Recorder()) as history,
        SqliteDatabase.beside(tmp_path / FILE) as database,
    ):
        await SqlTokens(database).put(token)
        assert (await history.tokens.known()).tokens == [token]
