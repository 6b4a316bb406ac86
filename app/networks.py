"""Client addresses: which proxies are trusted, whom they name as the client, and the key to count an address by.

Sources: RFC 4291 section 2.5.5.2 (IPv4-mapped IPv6), RFC 6177 (a site has at least a /64), RFC 7239 section 6 (nodes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNIX = "unix"  # the address of every peer on a Unix socket; also the word for it in a list of trusted proxies
UNKNOWN = "unknown"  # of a connection that was lost before its address was read

LONGEST = 64  # characters of an address with a port: anything longer is malformed
CUSTOMER = 64  # bits of an IPv6 prefix that one customer has at least: all addresses below it count as one
MAPPED = 96  # bits before the IPv4 address in an IPv4-mapped IPv6 address

_NODE = re.compile(r"\[(?P<v6>[^\[\]]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")


class Trusted(str):
    """The text of an entry of the list of trusted proxies: an address, a network, or `unix`.

    Raises `ValueError` if it is invalid, or if it is a network of all addresses: that would trust every client.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Trusted:
        """Validate `text`."""
        if text != UNIX:
            _network(text)
        return super().__new__(cls, text)


class Proxies:
    """The peers whose forwarded headers are believed. Raises `ValueError` for an invalid entry."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        entries = tuple(entries)
        self._unix = UNIX in entries
        self._networks = tuple(_network(entry) for entry in entries if entry != UNIX)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __repr__(self) -> str:
        return f"<Proxies unix={self._unix} {', '.join(map(str, self._networks))}>"

    def trusts(self, address: str) -> bool:
        """Return whether a canonical address is one of the proxies."""
        if address == UNIX:
            return self._unix
        parsed = _parsed(address) if self._networks else None
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, hops: Iterable[str | None]) -> str:
        """Return the address of the client that `peer` forwards for: the first one that is no trusted proxy.

        `hops` are the forwarded addresses, the nearest to this server first; `None` stands for a malformed entry.
        Only a trusted proxy is believed about the hop before it, so nothing beyond an untrusted or malformed address
        is read: what a client writes into the header itself stays unread.
        """
        nearest = peer
        for hop in hops:
            if not self.trusts(nearest):
                break
            address = node(hop or "")
            if address is None:
                break
            nearest = address
        return nearest


def peer(remote: str | None) -> str:
    """Return the canonical address of a peer, from aiohttp's `remote` or the host of asyncio's `peername`.

    The peer of a Unix socket has no address, or a path.
    """
    if remote is None:
        return UNKNOWN
    parsed = _parsed(remote)
    return UNIX if parsed is None else str(parsed)


def node(text: str) -> str | None:
    """Return the canonical address of a forwarded hop, with or without a port. `None` if it has no address.

    RFC 7239 also allows `unknown` and obfuscated names such as `_hidden`.
    """
    text = text.strip(" \t")
    if len(text) > LONGEST:
        return None
    found = _NODE.fullmatch(text)
    parsed = _parsed((found["v6"] or found["v4"]) if found else text)
    return None if parsed is None else str(parsed)


def counting_key(address: str) -> str:
    """Return what to count a canonical address by: an IPv6 address by its /64, because one client has all of it."""
    parsed = _parsed(address)
    return str(IPv6Network((parsed, CUSTOMER), strict=False)) if isinstance(parsed, IPv6Address) else address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])  # a zone has a meaning only on this machine
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= MAPPED and network[0].ipv4_mapped:
        network = IPv4Network((network[0].ipv4_mapped, network.prefixlen - MAPPED))
    if not network.prefixlen:
        raise ValueError(f"{text!r} is every address")
    return network
