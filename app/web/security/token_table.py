"""What the server knows of tokens and sign-ins: a copy of the store, and the access that each of them gives now."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

from app import tokens
from app.chat.scoped_ids import LOCAL
from app.chat.tokens import KnownTokens, SignIn, Token
from app.web.grants import Grant

SIGN_IN_SECONDS = 30 * 24 * 3600  # a browser stays signed in
_VERIFIED = 4096  # verified tokens that are remembered


class Holder(NamedTuple):
    """A token that is valid now: one of the store, or the one of TAILRACE_ACCESS_TOKEN."""

    token_id: str
    owner: str
    is_admin: bool
    ends: float | None  # seconds since the epoch


class TokenTable:
    """Synchronous throughout: `update` takes what was read from the store.

    `only` is the token of TAILRACE_ACCESS_TOKEN, whose owner is an admin. `secret` ties its sign-ins to its value.
    """

    def __init__(self, only: str | None, secret: bytes, now: Callable[[], float]) -> None:
        self._now = now
        self._only = only.encode() if only else None
        self._only_holder: Holder | None = None
        if only:
            digest = hmac.digest(secret, b"access token\0" + only.encode(), "sha256").hex()
            self._only_holder = Holder(f"only-{digest[:16]}", LOCAL, True, None)
        self._tokens: dict[str, Token] = {}
        self._holders: dict[str, Holder] = {}
        self._sign_ins: dict[str, SignIn] = {}
        self._verified: dict[bytes, str] = {}  # hashes of whole tokens, and their ids
        self._grants: dict[str, Grant] = {}  # by the id of a token or sign-in
        self._used: set[str] = set()  # ids of tokens used since `take_used`

    def __repr__(self) -> str:
        return f"<TokenTable tokens={len(self._tokens)} sign_ins={len(self._sign_ins)} grants={len(self._grants)}>"

    @property
    def is_empty(self) -> bool:
        """Whether nobody can be let in."""
        return self._only is None and not self._tokens

    # ---- looking up ------------------------------------------------------------------------------------------

    def holder(self, text: str) -> Holder | None:
        """Return the holder of a token; `None` if it is not valid now."""
        # Headers may contain bytes that are not UTF-8; aiohttp passes them as surrogates.
        data = text.encode(errors="surrogateescape")
        if self._only is not None and hmac.compare_digest(data, self._only):
            return self._only_holder
        digest = hashlib.sha256(data).digest()
        token_id = self._verified.get(digest)
        if token_id is None:
            token_id = self._verify(text, digest)
        return None if token_id is None else self._valid(token_id)

    def by_token(self, text: str) -> Grant | None:
        """Return the access that a token gives, `None` if it gives none."""
        holder = self.holder(text)
        return None if holder is None else self._grant(holder.token_id, holder)

    def by_sign_in(self, sign_in_id: str) -> Grant | None:
        """Return the access of a signed-in browser; `None` if it has been signed out, or its token is not valid."""
        holder = self._signed_in(sign_in_id)
        return None if holder is None else self._grant(sign_in_id, holder)

    def owner_of(self, text: str) -> str | None:
        """Return whose token it is, even if it has expired; `None` for a wrong one."""
        presented = tokens.parsed(text)
        token = None if presented is None else self._tokens.get(presented.token_id)
        if presented is None or token is None or not tokens.is_secret_of(presented.secret, token):
            return None
        return token.name

    def _verify(self, text: str, digest: bytes) -> str | None:
        presented = tokens.parsed(text)
        token = None if presented is None else self._tokens.get(presented.token_id)
        if presented is None or token is None or not tokens.is_secret_of(presented.secret, token):
            return None
        if len(self._verified) >= _VERIFIED:
            self._verified.clear()
        self._verified[digest] = token.token_id
        return token.token_id

    def _valid(self, token_id: str) -> Holder | None:
        if self._only_holder is not None and token_id == self._only_holder.token_id:
            return self._only_holder
        holder = self._holders.get(token_id)
        if holder is None or (holder.ends is not None and holder.ends <= self._now()):
            return None
        return holder

    def _signed_in(self, sign_in_id: str) -> Holder | None:
        sign_in = self._sign_ins.get(sign_in_id)
        if sign_in is None or sign_in.created_at.timestamp() + SIGN_IN_SECONDS <= self._now():
            return None
        return self._valid(sign_in.token_id)

    def _grant(self, key: str, holder: Holder) -> Grant:
        self._used.add(holder.token_id)
        grant = self._grants.get(key)
        if grant is None:
            grant = self._grants[key] = Grant(holder.owner, is_admin=holder.is_admin)
        return grant

    # ---- changes ---------------------------------------------------------------------------------------------

    def update(self, known: KnownTokens) -> None:
        """Take over what the store has; end the access that is valid no longer."""
        self._tokens = {token.token_id: token for token in known.tokens}
        self._holders = {token.token_id: _holder(token) for token in known.tokens}
        self._sign_ins = {each.sign_in_id: each for each in known.sign_ins}
        self._verified = {
            digest: token_id for digest, token_id in self._verified.items() if token_id in self._tokens
        }
        self.end_expired()

    def end_expired(self) -> None:
        """End the access of tokens and sign-ins that are valid no longer."""
        for key in tuple(self._grants):
            if self._valid(key) is None and self._signed_in(key) is None:
                self._grants.pop(key).end()

    def sign_in(self, sign_in: SignIn) -> None:
        """Add a sign-in."""
        self._sign_ins[sign_in.sign_in_id] = sign_in

    def sign_out(self, sign_in_id: str) -> None:
        """Remove a sign-in and end its access."""
        self._sign_ins.pop(sign_in_id, None)
        if (grant := self._grants.pop(sign_in_id, None)) is not None:
            grant.end()

    def take_used(self) -> set[str]:
        """Return the ids of the stored tokens that were used since the last call."""
        used, self._used = self._used, set()
        return used & self._tokens.keys()


def _holder(token: Token) -> Holder:
    ends = None if token.expires_at is None else token.expires_at.timestamp()
    return Holder(token.token_id, token.name, token.is_admin, ends)
