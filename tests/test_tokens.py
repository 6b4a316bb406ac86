"""Access tokens: what is stored of them gives none of them away."""

from __future__ import annotations

import pytest

from app.tokens import is_secret_of, new_token, parsed


def test_a_token_is_verified_by_its_hash() -> None:
    """Only its own; the stored part does not contain the secret."""
    text, kept = new_token("alice", is_admin=False, days=None)
    other, _ = new_token("alice", is_admin=False, days=None)
    presented, wrong = parsed(text), parsed(other)
    assert presented is not None
    assert wrong is not None
    assert presented.token_id == kept.token_id
    assert is_secret_of(presented.secret, kept)
    assert not is_secret_of(wrong.secret, kept)
    assert presented.secret not in repr(kept)
    assert kept.secret_hash.startswith("$argon2id$")
    assert len(presented.secret) == 43, "256 bits"


@pytest.mark.parametrize("text", ["", "tailrace_", "tailrace_0123456789abcdef_", "x" * 68, "tailrace_0_0"])
def test_other_texts_are_no_tokens(text: str) -> None:
    """They are refused before anything is looked up or hashed."""
    assert parsed(text) is None
