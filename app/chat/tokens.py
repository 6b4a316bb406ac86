"""Access tokens and sign-ins as they are stored, and the port of their store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A named access token, without its secret."""

    token_id: str  # the part of the token that finds it
    name: str  # the owner that it lets in; at most one token has it
    secret_hash: str
    is_admin: bool
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None  # to about a minute


class SignIn(NamedTuple):
    """A browser that was signed in with a token. Its cookie is valid for as long as this is stored."""

    sign_in_id: str
    token_id: str
    created_at: datetime


class KnownTokens(NamedTuple):
    """All tokens, by name, and all sign-ins."""

    tokens: Sequence[Token]
    sign_ins: Sequence[SignIn]


class TokenStore(Protocol):
    """Stores tokens and sign-ins. Every method raises `HistoryUnavailable` if the database does not respond."""

    async def known(self) -> KnownTokens:
        """Return everything that is stored."""

    async def put(self, token: Token) -> bool:
        """Store a token in place of the one with the same name, whose sign-ins end. Return whether there was one."""

    async def revoke(self, name: str) -> bool:
        """Delete a token and its sign-ins. Return whether there was one."""

    async def used(self, token_id: str, at: datetime) -> None:
        """Store when a token was last used. Does nothing if it was revoked."""

    async def sign_in(self, sign_in: SignIn, *, since: datetime, most: int) -> None:
        """Store a sign-in. Delete those before `since`, and of this token all but the `most` latest."""

    async def sign_out(self, sign_in_id: str) -> None:
        """Delete a sign-in. Idempotent."""
