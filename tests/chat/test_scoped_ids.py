"""Scoped session ids: a namespace for each owner, which no name of an owner and no client's id can leave."""

from __future__ import annotations

import re

import pytest

from app.chat.scoped_ids import LOCAL, bare, is_owner, owner_of, scoped
from app.web.input.bodies import ID_PATTERN


@pytest.mark.parametrize("owner", [LOCAL, "alice", "bob@example.org", "auth0|507f1f77", "a"])
def test_an_id_is_taken_apart_as_it_was_made(owner: str) -> None:
    """The bare id, and the owner; `local` has no prefix."""
    made = scoped(owner, "s_1-x")
    assert (owner_of(made), bare(made)) == (owner, "s_1-x")
    assert (made == "s_1-x") is (owner == LOCAL)


def test_owners_do_not_meet() -> None:
    """Nothing that a client can send as an id is a scoped one."""
    assert scoped("alice", "s1") != scoped("bob", "s1") != scoped(LOCAL, "s1")
    assert re.fullmatch(ID_PATTERN, scoped("alice", "s1")) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "a/b",
        "../x",
        ".a",
        "-a",
        "a\nb",
        "a\x00",
        "ünal",
        'a"b',
        "a=b",
        "a,b",
        "a\\b",
        "x" * 129,
        "a\n",
    ],
)
def test_names_that_could_break_a_line_or_an_id_are_refused(name: str) -> None:
    """Spaces, quotes, slashes, control characters, and whatever is too long."""
    assert not is_owner(name)
    assert is_owner("x" * 128)
