"""How many connections may be open, with connections that are made up."""

from __future__ import annotations

from typing import Any

import structlog

from app.web.security.connections import MOST_PEERS, PER_ADDRESS, RESERVE, STRANGERS, Connections


class Line:
    """A connection that only notes that it was cut, and its transport."""

    def __init__(self, address: str = "127.0.0.1", number: int = 3) -> None:
        self.key = ""
        self.is_known = self.is_reserve = False
        self.is_idle = True
        self.age = 0.0
        self.is_cut = False
        self._address = address
        self._number = number

    def cut(self) -> None:
        self.is_cut = True

    def get_extra_info(self, name: str) -> Any:
        return (self._address, 4711) if name == "peername" else self

    def fileno(self) -> int:
        return self._number


def book(limit: int | None = None, *trusted: str) -> Connections:
    return Connections(limit=limit, trusted=trusted, logger=structlog.get_logger())


def add(members: Connections, *lines: Line) -> list[Line]:
    for line in lines:
        members.add(line, line)  # type: ignore[arg-type]
    return list(lines)


def test_an_address_has_its_share() -> None:
    """Counted again once one is closed; loopback and trusted proxies are not counted."""
    members = book(None, "192.0.2.0/24")
    lines = add(members, *(Line("198.51.100.1") for _ in range(PER_ADDRESS + 1)))
    assert [line.is_cut for line in lines] == [False] * PER_ADDRESS + [True]
    members.discard(lines[0])
    members.discard(lines[0])
    assert [line.is_cut for line in add(members, Line("198.51.100.1"), Line("198.51.100.1"))] == [False, True]
    for shared in ("192.0.2.7", "127.0.0.9", "::1"):
        assert not any(line.is_cut for line in add(members, *(Line(shared) for _ in range(PER_ADDRESS + 1))))


def test_one_customer_has_a_64() -> None:
    """All addresses of an IPv6 /64 count as one, and an IPv4 address is the same in both notations."""
    members = book()
    add(members, *(Line(f"2001:db8::{number:x}") for number in range(PER_ADDRESS)))
    assert [line.is_cut for line in add(members, Line("2001:db8::ffff:1"), Line("2001:db8:0:1::1"))] == [
        True,
        False,
    ]
    add(members, *(Line("::ffff:198.51.100.2") for _ in range(PER_ADDRESS)))
    assert add(members, Line("198.51.100.2"))[0].is_cut


def test_the_nodes_of_a_cluster_are_not_counted() -> None:
    """Each viewer that a node serves may take a connection; one of them shows who is at the address."""
    members = book()
    first = add(members, *(Line("198.51.100.1") for _ in range(PER_ADDRESS)))
    members.vouch(first[0])
    assert first[0].is_known
    assert not any(line.is_cut for line in add(members, *(Line("198.51.100.1") for _ in range(PER_ADDRESS))))
    others = add(members, *(Line("198.51.100.2") for _ in range(PER_ADDRESS + 1)))
    assert others[-1].is_cut
    for number in range(MOST_PEERS):  # later ones take its place
        members.vouch(add(members, Line(f"203.0.{number >> 8}.{number & 255}"))[0])
    for line in first:
        members.discard(line)
    again = add(members, *(Line("198.51.100.1") for _ in range(PER_ADDRESS + 1)))
    assert again[-1].is_cut


def test_the_oldest_stranger_makes_room() -> None:
    """Those whom a request let in are not counted."""
    members = book()
    lines = add(members, *(Line() for _ in range(STRANGERS)))
    members.know(lines[0])
    add(members, Line(), Line())
    assert [line.is_cut for line in lines[:3]] == [False, True, False]


def test_the_connections_of_a_trusted_proxy_are_no_strangers() -> None:
    """Thousands of browsers may come back through it at the same moment."""
    members = book(None, "127.0.0.0/8")
    assert not any(line.is_cut for line in add(members, *(Line() for _ in range(2 * STRANGERS))))


def test_at_the_limit_of_files_strangers_go_first() -> None:
    """Then idle connections of users, the longest idle ones first; then a newcomer may ask for the health alone."""
    members = book(200)
    near = 200 - RESERVE
    stranger, idle, busy = add(members, Line(), Line(), Line())
    members.know(idle)
    members.know(busy)
    busy.is_idle = False
    [first] = add(members, Line(number=near))
    assert (stranger.is_cut, idle.is_cut, first.is_reserve) == (True, False, False)
    members.know(first)
    first.is_idle = False
    [second] = add(members, Line(number=near))
    assert (idle.is_cut, second.is_reserve) == (True, False)
    members.know(second)
    second.is_idle = False
    [third] = add(members, Line(number=near))
    assert (third.is_reserve, third.is_cut) == (True, False)
    [last] = add(members, Line(number=199))
    assert (last.is_reserve, last.is_cut, third.is_cut) == (True, False, True)
    assert not busy.is_cut
