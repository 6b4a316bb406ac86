"""The signature of a passed-on request: it fits one request, for a while, under one secret."""

from __future__ import annotations

import pytest

from app.web.nodes.signature import VALID_SECONDS, Passed, Target, digest, sign, verified

SECRET = b"secret"
NOW = 1_700_000_000.0
PASSED = Passed("alice", "alice/s1", 7, "node", "other", "192.0.2.1", digest(b"body"), NOW)
TARGET = Target("POST", "/api/sessions/s1/streams?a=b", "application/json", "key")


def test_what_was_signed_is_read() -> None:
    """All of it."""
    assert verified(SECRET, sign(SECRET, PASSED, TARGET), TARGET, NOW) == PASSED


@pytest.mark.parametrize(
    "target",
    [
        TARGET._replace(method="DELETE"),
        TARGET._replace(address="/api/sessions/s2/streams?a=b"),
        TARGET._replace(address="/api/sessions/s1/streams"),
        TARGET._replace(content_type="text/plain"),
        TARGET._replace(key="another"),
        TARGET._replace(content_type="application/jsonkey", key=""),
    ],
)
def test_it_fits_no_other_request(target: Target) -> None:
    """Whoever saw one cannot ask for anything else with it."""
    assert verified(SECRET, sign(SECRET, PASSED, TARGET), target, NOW) is None


def test_it_fits_no_other_secret() -> None:
    """Nor the cookie's."""
    assert verified(b"other", sign(SECRET, PASSED, TARGET), TARGET, NOW) is None


@pytest.mark.parametrize("later", [VALID_SECONDS + 1, -VALID_SECONDS - 1])
def test_it_expires(later: float) -> None:
    """It also is not valid long before it was signed."""
    signed = sign(SECRET, PASSED, TARGET)
    assert verified(SECRET, signed, TARGET, NOW + later) is None
    assert verified(SECRET, signed, TARGET, NOW + later / 2) == PASSED


def test_every_character_counts() -> None:
    """Of the tag and of what it is for."""
    signed = sign(SECRET, PASSED, TARGET)
    for place in range(len(signed)):
        other = "A" if signed[place] != "A" else "B"
        changed = signed[:place] + other + signed[place + 1 :]
        assert verified(SECRET, changed, TARGET, NOW) is None, place


@pytest.mark.parametrize("text", ["", ".", "x", "a.b", "é.é", "\udcff.\udcff", "=.=", "A" * 5000, "." * 3000])
def test_what_is_no_signature(text: str) -> None:
    """A stranger may send anything."""
    assert verified(SECRET, text, TARGET, NOW) is None


@pytest.mark.parametrize(
    "target", [TARGET._replace(content_type="\udcff"), TARGET._replace(key="\udcffk")], ids=["type", "key"]
)
def test_a_header_that_is_not_utf8(target: Target) -> None:
    """It can be signed, and a stranger who sends one is only not believed."""
    signed = sign(SECRET, PASSED, target)
    assert verified(SECRET, signed, target, NOW) == PASSED
    assert verified(SECRET, signed, TARGET, NOW) is None
    assert verified(SECRET, sign(SECRET, PASSED, TARGET), target, NOW) is None
