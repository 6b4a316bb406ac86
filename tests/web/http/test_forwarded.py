"""Forwarded headers are believed from trusted proxies, and nothing of them that a client wrote itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from app.networks import Proxies
from app.web.app_keys import PROXIES
from app.web.http import forwarded


class Connection:
    """A transport that knows its peer and nothing else."""

    def __init__(self, peername: Any) -> None:
        self._peername = peername

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`."""
        return self._peername if name == "peername" else default


def request(
    *headers: tuple[str, str], peer: Any = ("10.0.0.1", 4711), trusted: tuple[str, ...] = ("10.0.0.0/8",)
) -> web.Request:
    """Return a request with these headers from `peer`, to a server that trusts `trusted`."""
    app = web.Application()
    app[PROXIES] = Proxies(trusted)
    made = make_mocked_request(
        "GET",
        "/",
        headers=CIMultiDict([("Host", "chat.example"), *headers]),
        transport=Connection(peer),
        app=app,
    )
    made._match_info = SimpleNamespace(current_app=app)  # type: ignore[assignment]
    return made


def of(*headers: tuple[str, str], **more: Any) -> str:
    """Return the client's address as these headers have it."""
    return forwarded.client(request(*headers, **more))


XFF = "X-Forwarded-For"


def test_x_forwarded_for_is_read_from_the_right() -> None:
    """Over several fields, too; what an untrusted address claims is not read."""
    assert of() == "10.0.0.1"
    assert of((XFF, "6.6.6.6, 198.51.100.1")) == "198.51.100.1"
    assert of((XFF, "6.6.6.6, 198.51.100.1,10.0.0.7")) == "198.51.100.1"
    assert of((XFF, "6.6.6.6, 198.51.100.1"), ("x-forwarded-for", "10.0.0.7")) == "198.51.100.1"
    assert of((XFF, "6.6.6.6,,198.51.100.1, ")) == "198.51.100.1"
    assert of((XFF, "6.6.6.6, x")) == "10.0.0.1"
    assert of((XFF, "")) == "10.0.0.1"


def test_a_peer_that_is_no_proxy_is_the_client() -> None:
    """Whatever it claims; and without trusted proxies nobody is believed."""
    assert of((XFF, "6.6.6.6"), peer=("203.0.113.9", 1)) == "203.0.113.9"
    assert of((XFF, "6.6.6.6"), trusted=()) == "10.0.0.1"
    assert of((XFF, "6.6.6.6"), peer="", trusted=("unix",)) == "6.6.6.6"
    assert of((XFF, "6.6.6.6"), peer=None, trusted=("unix",)) == "unknown"
    assert of((XFF, "198.51.100.1"), peer=("::ffff:10.0.0.1", 1, 0, 0)) == "198.51.100.1"


FORWARDED = [
    ("for=198.51.100.1", "198.51.100.1"),
    ("for=198.51.100.1:4711;proto=https", "198.51.100.1"),
    ('proto=https;For="[2001:db8::1]:4711"', "2001:db8::1"),
    ("for=6.6.6.6, for=198.51.100.1 ; by=_x", "198.51.100.1"),
    ("for=198.51.100.1, for=10.0.0.7", "198.51.100.1"),
    ("for=6.6.6.6, for=unknown", "10.0.0.1"),
    ("for=6.6.6.6, for=_hidden", "10.0.0.1"),
    ("for=6.6.6.6, proto=https", "10.0.0.1"),
    ('for=6.6.6.6;x=", for="[2001:db8::1]"', "10.0.0.1"),
    ('for=6.6.6.6, x=", for="[2001:db8::1]"', "10.0.0.1"),
    ('for="6.6.6.6, for=198.51.100.1', "10.0.0.1"),
    ('host=";for=6.6.6.6";for=198.51.100.1', "198.51.100.1"),
    ('host=",for=6.6.6.6";for=198.51.100.1', "198.51.100.1"),
    ("for=6.6.6.6;for=198.51.100.1", "10.0.0.1"),
    ('for="198.51.\\100.1"', "198.51.100.1"),
    ("6.6.6.6", "10.0.0.1"),
    (",, ;for=198.51.100.1;,", "198.51.100.1"),
]


@pytest.mark.parametrize(("header", "client"), FORWARDED)
def test_forwarded_is_read_like_it(header: str, client: str) -> None:
    """RFC 7239. A client's open quotation mark does not hide the element of the proxy."""
    assert of(("Forwarded", header)) == client


def test_x_forwarded_for_counts_before_forwarded() -> None:
    """Nginx adds the former, and passes on the client's own `Forwarded`."""
    assert of(("Forwarded", "for=6.6.6.6"), (XFF, "198.51.100.1")) == "198.51.100.1"
    assert of(("Forwarded", 'for=6.6.6.6;x="'), ("Forwarded", "for=198.51.100.1")) == "198.51.100.1"


def test_host_and_scheme_are_believed_from_the_same_peers() -> None:
    """From every peer while none is named."""
    told = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "front.example"))
    rfc = (("Forwarded", "proto=https;host=front.example"),)
    for headers in (told, rfc):
        for peer, trusted, is_believed in (
            ("10.0.0.1", ("10.0.0.0/8",), True),
            ("203.0.113.9", ("10.0.0.0/8",), False),
            ("203.0.113.9", (), True),
        ):
            seen = request(*headers, peer=(peer, 1), trusted=trusted)
            assert forwarded.is_https(seen) is is_believed
            assert (forwarded.host(seen) is not None) is is_believed


@given(st.text(alphabet='for=;," \\[]:.x198', max_size=60))
def test_no_header_raises(header: str) -> None:
    """Anybody can send anything to the proxy."""
    networks_of = of(("Forwarded", header)), of((XFF, header))
    assert all(networks_of)
