"""Addresses of clients: which proxies are believed, and what counts as one client."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import networks
from app.networks import Proxies, Trusted

PROXIES = ("10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1")


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "6.6.6.6"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.1", "198.51.100.1", "6.6.6.6"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2", "2001:db8:1::7"], "2001:db8:1::7"),
        ("10.0.0.1", ["not an address", "6.6.6.6"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1", None, "6.6.6.6"], "192.0.2.1"),
        ("10.0.0.1", ["unknown", "6.6.6.6"], "10.0.0.1"),
        ("10.0.0.1", ["_hidden"], "10.0.0.1"),
        ("10.0.0.1", ["::ffff:192.0.2.1", "::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:DB8::0:1]:4711"], "2001:db8::1"),
        ("10.0.0.1", [" 2001:db8::1 "], "2001:db8::1"),
        ("10.0.0.1", ["010.0.0.2"], "10.0.0.1"),
        ("10.0.0.1", ["9" * 70], "10.0.0.1"),
        ("unix", ["198.51.100.1"], "unix"),
    ],
)
def test_the_client_is_the_first_that_is_not_trusted(
    peer: str, hops: Sequence[str | None], client: str
) -> None:
    """Never beyond an address that is not trusted, or that is none."""
    assert Proxies(PROXIES).client(peer, hops) == client


def test_a_proxy_on_a_unix_socket_is_trusted_by_its_word() -> None:
    """A Unix socket has no address."""
    assert Proxies(["unix"]).client(networks.peer(""), ["198.51.100.1"]) == "198.51.100.1"
    assert not Proxies(["unix"]).trusts("10.0.0.1")
    assert not Proxies(["10.0.0.0/8"]).trusts("unix")
    assert not Proxies(["unix"]).trusts(networks.peer(None))


@pytest.mark.parametrize(
    ("remote", "peer"),
    [
        (None, "unknown"),
        ("", "unix"),
        ("/run/client.sock", "unix"),
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_peer_of_a_connection_has_one_spelling(remote: str | None, peer: str) -> None:
    """Of an address, of a Unix socket, and of a connection that is gone."""
    assert networks.peer(remote) == peer


@pytest.mark.parametrize(
    "text",
    ["", "*", "10.0.0.1/8", "10.0.0.0/33", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "proxy.example", "10.0.0"],
)
def test_an_entry_that_is_none_or_everybody_is_refused(text: str) -> None:
    """Who trusts everybody lets every client choose its address."""
    with pytest.raises(ValueError, match=r"."):
        Trusted(text)


def test_a_mapped_network_is_one_of_ipv4() -> None:
    """`::ffff:10.0.0.0/104` is 10.0.0.0/8."""
    assert Proxies([Trusted("::ffff:10.0.0.0/104")]).trusts("10.9.9.9")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("unix", "unix"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_client_counts_by_its_64(address: str, key: str) -> None:
    """A customer has at least a /64, with 2^64 addresses to change to."""
    assert networks.counting_key(address) == key


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """A proxy may pass on anything; an address that is read is in its canonical form."""
    address = networks.node(text)
    assert address is None or networks.node(address) == address
    assert networks.peer(networks.peer(text)) == networks.peer(text)
    networks.counting_key(text)
