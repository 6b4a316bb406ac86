"""How many connections are open: from one address, of strangers, and in all. Beyond a bound some are closed.

A connection is a stranger's until a request on it has been let in. All strangers together may cost `STRANGERS_BYTES`;
at that bound the stranger who came first is closed, so that a newcomer who sends a request is served.

The bound for all is the process's limit on open files, less a reserve for the database, model servers and the health
check. The kernel gives a new socket the lowest free number, so that number says how many files are open. At the bound
strangers and idle connections are closed, the oldest first. If there are none, a newcomer may ask for the health only.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Protocol

from app import networks
from app.chat.ports import Logger
from app.web.security.sampling import Sampler

PER_ADDRESS = 256
STRANGER_BYTES = 64 * 1024  # that a connection of a stranger costs at most
STRANGERS_BYTES = 64 * 1024 * 1024
STRANGERS = STRANGERS_BYTES // STRANGER_BYTES
LOOPBACK = ("127.0.0.0/8", "::1")
RESERVE = 32  # descriptors
LAST_RESERVE = 8  # of these: a newcomer beyond is closed without an answer
MOST_PEERS = 256  # addresses of nodes that are remembered
ROOM = 32  # connections that are closed at once at the bound, so that looking for them is rare


class Member(Protocol):
    """An open connection."""

    key: str  # what its address is counted under, "" if it is not counted
    is_known: bool  # a request on it has been let in
    is_reserve: bool  # it may ask for the health only

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""

    @property
    def age(self) -> float:
        """How many seconds it has waited, roughly."""

    def cut(self) -> None:
        """Close it at once."""


def descriptors() -> int | None:
    """Return how many files this process may have open; `None` without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


class Connections:
    """The open connections of a server.

    `limit` is how many files may be open. The connections of `trusted` addresses are nobody's in particular: a proxy
    has bounds of its own. They, those of other nodes, and those of this machine, are not counted by address.
    """

    def __init__(self, *, limit: int | None, trusted: Iterable[str], logger: Logger) -> None:
        self._limit = limit
        self._proxies = networks.Proxies(trusted)
        self._logger = logger
        self._counts: dict[str, int] = {}  # by address
        self._strangers: OrderedDict[Member, None] = OrderedDict()  # the oldest first
        self._known: set[Member] = set()
        self._peers: dict[str, None] = {}  # addresses of the nodes of this cluster, the latest last
        self._samplers: dict[str, Sampler] = {}

    def __repr__(self) -> str:
        return f"<Connections strangers={len(self._strangers)} known={len(self._known)}>"

    def add(self, member: Member, transport: asyncio.BaseTransport) -> None:
        """Count a new connection. Cut it, or others in its favour, if a bound is exceeded."""
        address = peer(transport)
        if self._proxies.trusts(address):
            member.is_known = True
        elif address != networks.UNIX and not _is_loopback(address):
            member.key = networks.counting_key(address)
        if member.key in self._peers:
            member.key = ""
        elif member.key:
            self._counts[member.key] = self._counts.get(member.key, 0) + 1
        if self._counts.get(member.key, 0) > PER_ADDRESS:
            self._tell("address", address, 1)
            self._close(member)
            return
        if member.is_known:
            self._known.add(member)
        else:
            self._strangers[member] = None
        number = _number(transport)
        if self._limit is not None and number is not None and number >= self._limit - RESERVE:
            self._at_the_limit(member, number, self._limit, address)
        elif len(self._strangers) > STRANGERS:
            self._tell("strangers", address, 1)
            self._close(next(iter(self._strangers)))

    def vouch(self, member: Member) -> None:
        """A node of this cluster is at the other end: each viewer that it serves may take a connection of its own."""
        if member.key:
            key = member.key
            self._uncount(member)
            self._peers.pop(key, None)
            self._peers[key] = None
            if len(self._peers) > MOST_PEERS:
                del self._peers[next(iter(self._peers))]
        self.know(member)

    def discard(self, member: Member) -> None:
        """Forget a connection that is closed, or about to be. May be called again."""
        self._strangers.pop(member, None)
        self._known.discard(member)
        self._uncount(member)

    def _uncount(self, member: Member) -> None:
        if member.key:
            left = self._counts.pop(member.key, 1) - 1
            if left:
                self._counts[member.key] = left
            member.key = ""

    def know(self, member: Member) -> None:
        """Note that a request on this connection has been let in."""
        member.is_known = True
        if member in self._strangers:
            del self._strangers[member]
            self._known.add(member)

    def _close(self, member: Member) -> None:
        self.discard(member)
        member.cut()

    def _at_the_limit(self, member: Member, number: int, limit: int, address: str) -> None:
        closed = self._make_room(member)
        if not closed:
            member.is_reserve = True
        if number >= limit - LAST_RESERVE:
            self._close(next((each for each in self._strangers if each.is_reserve), member))
            closed += 1
        self._tell("descriptors", address, closed)

    def _make_room(self, newcomer: Member) -> int:
        """Close up to `ROOM` connections that nobody is served on. Return how many."""
        strangers = (each for each in self._strangers if each is not newcomer and not each.is_reserve)
        chosen = list(itertools.islice(strangers, ROOM))
        if not chosen:
            idle = (each for each in self._known if each.is_idle and each is not newcomer)
            chosen = heapq.nlargest(ROOM, idle, key=lambda each: each.age)
        for each in chosen:
            self._close(each)
        return len(chosen)

    def _tell(self, reason: str, address: str, count: int) -> None:
        """Log that connections were closed: one line per reason in ten seconds."""
        sampler = self._samplers.setdefault(reason, Sampler(1, 10.0))
        omitted = sampler.take()
        if omitted is None:
            return
        open_now = len(self._strangers) + len(self._known)
        keys: dict[str, Any] = {"reason": reason, "address": address, "closed": count, "open": open_now}
        self._logger.warning("connections_closed", **keys, omitted=omitted)


def peer(transport: asyncio.BaseTransport) -> str:
    """Return the canonical address of the other end."""
    name = transport.get_extra_info("peername")
    return networks.peer(name[0] if isinstance(name, tuple) else name)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # no address: the connection was lost already
        return False


def _number(transport: asyncio.BaseTransport) -> int | None:
    sock = transport.get_extra_info("socket")
    number = sock.fileno() if sock is not None else -1
    return number if number >= 0 else None
