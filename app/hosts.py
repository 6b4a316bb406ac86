"""Parses and compares host names and addresses from requests and settings, in canonical form.

`LocalHost.`, `[0:0:0:0:0:0:0:1]:8080` and `BÜCHER.example` are other spellings of `localhost`, `::1` and
`xn--bcher-kva.example`. Sources: RFC 9110 section 7.2 (Host), RFC 3986 section 3.2 (authority), RFC 6454
section 7 (Origin), RFC 6761 section 6.3 (names below `localhost`), WHATWG URL section 3.5 (old forms of IPv4, IDN).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import idna

KNOWN = 256  # hosts that are remembered: a client sends the same one with every request
DEFAULT_PORTS = {"http": 80, "https": 443}
LOCALHOST = "localhost"

# Forbidden in a name: WHATWG URL section 3.5, "forbidden domain code point", and `*`.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^`{|}*,;\"'()&=!$+]")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]*))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/]*)", re.IGNORECASE)
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)")
_LABEL_LENGTH, _NAME_LENGTH = 63, 253  # RFC 1035 section 2.3.4, not counting the final dot


class Authority(NamedTuple):
    """A host in its canonical form, and the port if one was given."""

    host: str
    port: int | None


class Origin(NamedTuple):
    """The origin of a page: scheme, canonical host, and port."""

    scheme: str
    host: str
    port: int


def canonical(host: str) -> str | None:
    """Return the canonical form of a host: a lower-case name in A-labels, or an address. `None` if it is neither.

    An IPv4-mapped IPv6 address becomes its IPv4 address. Brackets around an IPv6 address are optional.
    """
    if host.startswith("[") and host.endswith("]"):
        return _address_v6(host[1:-1])
    if ":" in host:
        return _address_v6(host)
    name = host if host.isascii() else _a_labels(host)
    # Looked through last: other scripts have signs that become one of these, such as U+00A0 and U+FF0F.
    if name is None or _FORBIDDEN.search(name) or not _is_name(name := name.removesuffix(".").lower()):
        return None
    return _address_v4(name) if _NUMERIC.fullmatch(name) else name


@lru_cache(maxsize=KNOWN)
def authority(text: str) -> Authority | None:
    """Parse `host[:port]`, as in a `Host` header. Return `None` if it is malformed."""
    text = text.strip(" \t")
    bare = _address_v6(text) if text.count(":") > 1 else None
    if bare is not None:
        return Authority(bare, None)
    found = _AUTHORITY.fullmatch(text)
    if found is None or (host := canonical(found["host"])) is None:
        return None
    port = int(found["port"][:6]) if found["port"] else None
    return None if port is not None and port > 65_535 else Authority(host, port)


def origin(text: str) -> Origin | None:
    """Parse an `Origin` header. Return `None` for `null`, for a scheme other than HTTP(S), or if it is malformed."""
    found = _ORIGIN.fullmatch(text.strip(" \t"))
    if found is None or (at := authority(found["authority"])) is None:
        return None
    scheme = found["scheme"].lower()
    return Origin(scheme, at.host, DEFAULT_PORTS[scheme] if at.port is None else at.port)


@lru_cache(maxsize=KNOWN)
def is_loopback(host: str) -> bool:
    """Return whether every browser resolves a canonical host to this machine, without asking a name server."""
    if host == LOCALHOST or host.endswith("." + LOCALHOST):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class HostPattern(str):
    """The text of an entry of the list of allowed hosts. Raises `ValueError` if it is invalid."""

    __slots__ = ()

    def __new__(cls, text: str) -> HostPattern:
        """Validate `text` with `Allowed.parse`."""
        Allowed.parse(text)
        return super().__new__(cls, text)


class OriginText(str):
    """The text of an entry of a list of origins. Raises `ValueError` if it is invalid."""

    __slots__ = ()

    def __new__(cls, text: str) -> OriginText:
        """Validate `text`. Browsers write an origin without a slash at its end."""
        if origin(text) is None:
            raise ValueError(f"not an origin: {text!r}")
        return super().__new__(cls, text)


class Allowed(NamedTuple):
    """An entry of the list of allowed hosts: `name`, `name:port`, or `*.name` for all subdomains of `name`."""

    host: str
    port: int | None
    is_wildcard: bool

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Parse an entry. Raises `ValueError` if it is invalid."""
        is_wildcard = text.startswith("*.")
        at = authority(text[2:] if is_wildcard else text)
        if at is None or (is_wildcard and _is_address(at.host)):
            raise ValueError(f"not a host: {text!r}")
        return cls(at.host, at.port, is_wildcard)

    def matches(self, at: Authority, scheme: str | None) -> bool:
        """Return whether this entry matches a host. If `scheme` is unknown, a missing port may mean 80 or 443."""
        is_host = at.host.endswith("." + self.host) if self.is_wildcard else at.host == self.host
        if not is_host or self.port is None:
            return is_host
        ports = set(DEFAULT_PORTS.values()) if scheme is None else {DEFAULT_PORTS[scheme]}
        return self.port in (ports if at.port is None else {at.port})


def is_allowed(at: Authority, scheme: str | None, allowed: Iterable[Allowed]) -> bool:
    """Return whether a host is a loopback host or matches an allowed entry."""
    return is_loopback(at.host) or any(entry.matches(at, scheme) for entry in allowed)


def is_same(origin: Origin, at: Authority, scheme: str | None) -> bool:
    """Return whether a page's origin is the server that got the request. An unknown `scheme` is not compared."""
    if scheme is not None and scheme != origin.scheme:
        return False
    port = DEFAULT_PORTS[origin.scheme] if at.port is None else at.port
    return (origin.host, origin.port) == (at.host, port)


def _address_v6(text: str) -> str | None:
    try:
        address = IPv6Address(text.partition("%")[0])  # a zone has a meaning only on the sender's machine
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


def _address_v4(text: str) -> str | None:
    """Parse an IPv4 address, also in the old forms with fewer, octal or hexadecimal parts: `127.1`, `0x7f.0.0.1`."""
    try:
        return str(IPv4Address(socket.inet_aton(text)))
    except OSError:
        return None


def _a_labels(name: str) -> str | None:
    """Return an internationalised name in ASCII (UTS 46, RFC 5891)."""
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except (idna.IDNAError, UnicodeError):
        return None


def _is_name(name: str) -> bool:
    return len(name) <= _NAME_LENGTH and all(0 < len(label) <= _LABEL_LENGTH for label in name.split("."))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
