"""The signature of a request that one node passes on to another: who is behind it, and which session it is for.

It is a MAC under the cluster's secret. Whoever has that secret can act for every owner.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

HEADER = "Tailrace-Peer"
NO_SESSION = ""  # of a request that is about the node itself
VALID_SECONDS = 30.0  # from being signed; what two nodes know of the clock of all may differ by as much
_TAG_BYTES = 32
_LONGEST = 2048  # characters of a header that is looked at


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """What the sender says of a request. It is signed together with the `Target`."""

    owner: str  # of the session
    session: str  # its scoped id
    epoch: int  # of the lease that the sender saw
    sender: str  # the id of the node
    receiver: str  # the id of the node that it is for; no other one believes it
    client: str  # the address of the client
    digest: str  # SHA-256 of the body, in hex
    at: float  # seconds since the epoch when it was signed, by the clock of all nodes
    unfinished: tuple[str, ...] = ()  # streams, if it ends what runs: see `app.web.nodes.unfinished`


class Target(NamedTuple):
    """What is asked for, as both nodes see it in the request itself."""

    method: str
    address: str  # path and query, as they were sent
    content_type: str
    key: str  # Idempotency-Key


def digest(body: bytes | bytearray) -> str:
    """Return the digest of a body."""
    return hashlib.sha256(body).hexdigest()


def sign(secret: bytes, passed: Passed, target: Target) -> str:
    """Return the value of the header."""
    payload = msgspec.json.encode(passed)
    return (urlsafe_b64encode(_tag(secret, payload, target)) + b"." + urlsafe_b64encode(payload)).decode()


def verified(secret: bytes, text: str, target: Target, now: float) -> Passed | None:
    """Return what a header says; `None` if it was signed with another secret, for something else or long ago."""
    tag, _, payload = text.encode(errors="replace").partition(b".")
    if len(text) > _LONGEST:
        return None
    try:
        told, data = urlsafe_b64decode(tag), urlsafe_b64decode(payload)
    except ValueError:
        return None
    if len(told) != _TAG_BYTES or not hmac.compare_digest(told, _tag(secret, data, target)):
        return None
    passed = msgspec.json.decode(data, type=Passed)  # it is one: it is signed
    return passed if abs(now - passed.at) <= VALID_SECONDS else None


def _tag(secret: bytes, payload: bytes, target: Target) -> bytes:
    # JSON, so that no two targets are written alike.
    key = hashlib.sha256(b"passed on\0" + secret).digest()
    # What is not UTF-8 in a header has lone surrogates in its text.
    seen = [member.encode(errors="surrogateescape") for member in target]
    return hmac.digest(key, msgspec.json.encode([*seen, payload]), "sha256")
