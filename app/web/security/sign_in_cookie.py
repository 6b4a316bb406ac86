"""The cookie of a signed-in browser: the signed id of its sign-in."""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

from aiohttp import web
from itsdangerous import BadSignature, TimestampSigner

from app.web.http import cookies
from app.web.http.addresses import cookie_path
from app.web.http.forwarded import is_https
from app.web.security.token_table import SIGN_IN_SECONDS

NAME = cookies.SIGN_IN
SECURE_NAME = f"__Host-{NAME}"
NEW_SECONDS = 10.0
SHORTEST = 44  # characters: a signature and something that is signed
# Cookies of one name that are looked at, as many as fit into a header. A page of a sibling domain may set any number,
# and they must not hide the one that counts.
MOST = 128


def name(request: web.Request) -> str:
    """Return the name of the cookie for a request.

    Browsers let nothing but this host set a cookie whose name begins with `__Host-`, and only over HTTPS and for the
    path `/` (RFC 6265bis, section 4.1.3.2). Elsewhere the plain name has to do.
    """
    return SECURE_NAME if is_https(request) and cookie_path(request) == "/" else NAME


class Signed(NamedTuple):
    """The contents of a cookie. How long it is valid is up to the stored sign-in."""

    sign_in_id: str
    at: float  # seconds since the epoch, when it was signed

    @property
    def is_new(self) -> bool:
        """Whether another server may have signed the browser in a moment ago. Clocks may differ by a little."""
        return abs(time.time() - self.at) < NEW_SECONDS


class SignInCookie:
    """Signs and checks the ids of sign-ins. `secret` is the server's."""

    def __init__(self, secret: bytes) -> None:
        key = hashlib.sha256(secret + b"\0sign-in").digest()
        self._signer = TimestampSigner(key, salt="tailrace.access", digest_method=hashlib.sha256)

    def read(self, request: web.Request) -> list[Signed]:
        """Return the ids of sign-ins in a request whose signatures are right.

        Another page on the same host may add a cookie of the plain name, so each of that name is looked at.
        """
        sent = [value for value in cookies.values(request, name(request)) if len(value) >= SHORTEST]
        return [signed for value in sent[:MOST] if (signed := self._unsigned(value)) is not None]

    def _unsigned(self, value: str) -> Signed | None:
        raw = value.encode(errors="surrogateescape")
        signed, _, signature = raw.rpartition(b".")
        if not self._signer.verify_signature(signed, signature):
            return None  # `unsign` says in what way it is wrong, for five times the cost
        try:
            data, at = self._signer.unsign(raw, return_timestamp=True)
            return Signed(data.decode(), at.timestamp())
        except (BadSignature, UnicodeDecodeError):
            return None

    def value(self, sign_in_id: str) -> str:
        """Return the signed value of a cookie."""
        return self._signer.sign(sign_in_id.encode()).decode()

    def set(self, request: web.Request, response: web.StreamResponse, sign_in_id: str) -> None:
        """Sign a browser in."""
        response.set_cookie(
            name(request),
            self.value(sign_in_id),
            max_age=SIGN_IN_SECONDS,
            path=cookie_path(request),
            httponly=True,
            samesite="Lax",
            secure=is_https(request),
        )

    def delete(self, request: web.Request, response: web.StreamResponse) -> None:
        """Sign a browser out."""
        response.del_cookie(
            name(request),
            path=cookie_path(request),
            httponly=True,
            samesite="Lax",
            secure=is_https(request),
        )
