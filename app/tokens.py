"""Access tokens: `tailrace_<id>_<secret>`. The id finds the stored token; only a hash of the secret is stored.

The secret has 256 random bits, so a slow hash would add nothing: Argon2 runs with its cheapest parameters.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.chat.tokens import Token

SECRET_BYTES = 32
_TOKEN = re.compile(r"tailrace_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Presented(NamedTuple):
    """The two parts of a token that a client sent."""

    token_id: str
    secret: str


def new_token(
    name: str, *, is_admin: bool, days: int | None, now: datetime | None = None
) -> tuple[str, Token]:
    """Return a new token as its owner gets it, and as it is stored. It expires after `days`, if they are given."""
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
    created_at = now or datetime.now(UTC)
    kept = Token(
        token_id=token_id,
        name=name,
        secret_hash=_HASHER.hash(secret),
        is_admin=is_admin,
        created_at=created_at,
        expires_at=None if days is None else created_at + timedelta(days=days),
        used_at=None,
    )
    return f"tailrace_{token_id}_{secret}", kept


def parsed(text: str) -> Presented | None:
    """Return the parts of a token; `None` if `text` has not the form of one."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else Presented(found[1], found[2])


def is_secret_of(secret: str, token: Token) -> bool:
    """Return whether `secret` is that of a stored token."""
    try:
        return _HASHER.verify(token.secret_hash, secret)
    except (VerificationError, InvalidHashError):
        return False
