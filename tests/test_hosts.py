"""Hosts and origins are compared by what they mean, not by how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import hosts
from app.hosts import Allowed, Authority


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("localhost", ("localhost", None)),
        (" LOCALHOST.:80 ", ("localhost", 80)),
        ("localhost:", ("localhost", None)),
        ("my_host.Example", ("my_host.example", None)),
        ("BÜCHER.example:8443", ("xn--bcher-kva.example", 8443)),
        ("bücher。example", ("xn--bcher-kva.example", None)),
        ("XN--BCHER-KVA.example", ("xn--bcher-kva.example", None)),
        ("127.1", ("127.0.0.1", None)),
        ("0x7f.0.0.1:1", ("127.0.0.1", 1)),
        ("[0:0:0:0:0:0:0:1]", ("::1", None)),
        ("[::FFFF:127.0.0.1]:80", ("127.0.0.1", 80)),
        ("[fe80::1%eth0]", ("fe80::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_a_host_has_one_spelling(text: str, meant: tuple[str, int | None]) -> None:
    """Case, the final dot, IDN, the forms of IPv4 and IPv6."""
    assert hosts.authority(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "localhost..", "a b", "a@b", "a/b", "*.a", "[::1", "::1]", "[::1]x", "[127.0.0.1]", "a:b",
     "a:1:2", "a:65536", "a:999999999999", "999.1.1.1", "1.2.3.4.5", "x" * 64, "\udcff", "a,b", "a\x00",
     "\u00a0", "a\uff0fb", "a\u2047", "\u037e.b", "\uff3b::1\uff3d"],
)  # fmt: skip
def test_what_is_no_host_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert hosts.authority(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """Anybody can send anything as a Host, and as an Origin; and the canonical form is its own."""
    at = hosts.authority(text)
    if at is not None:
        assert hosts.canonical(at.host) == at.host
    assert hosts.origin(text) is None or text.lower().strip(" \t").startswith("http")


@pytest.mark.parametrize("host", ["localhost", "a.b.localhost", "127.0.0.1", "127.255.1.2", "::1"])
def test_loopback(host: str) -> None:
    """The names and addresses that lead nowhere but to this machine."""
    assert hosts.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.example", "alocalhost", "128.0.0.1", "::2", "0.0.0.0", "10.0.0.1"]
)
def test_not_loopback(host: str) -> None:
    """A name that looks like one may be anybody's."""
    assert not hosts.is_loopback(host)


@pytest.mark.parametrize(
    "text", ["*", "*.*", "a*", "*.127.0.0.1", "https://a", "a/b", "a b", "", "*.", "a:x", "☃.example"]
)
def test_what_is_no_entry_raises(text: str) -> None:
    """A mistake in a list of hosts is told, not ignored."""
    with pytest.raises(ValueError, match="not a host"):
        Allowed.parse(text)


@pytest.mark.parametrize(
    ("scheme", "port", "matches"),
    [
        ("https", None, True),
        ("http", None, False),
        (None, None, True),
        ("http", 443, True),
        ("https", 80, False),
    ],
)
def test_a_port_that_is_missing_is_the_default(scheme: str | None, port: int | None, matches: bool) -> None:
    """Of the scheme; of either one where no proxy tells it."""
    assert Allowed.parse("a:443").matches(Authority("a", port), scheme) is matches
