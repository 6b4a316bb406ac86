"""The ports of a cluster: its nodes, and the leases that say which node owns a session.

The truth about both is in the database that the nodes share, so what a lease says is never older than a transaction.
A session is named by its scoped id (`app.chat.scoped_ids`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

UNOWNED = 0  # the epoch of a lease that nobody has: the node that is asked takes the session itself


class Node(NamedTuple):
    """A server of the cluster. Each start of a server is a node of its own."""

    id: str
    url: str  # where the other nodes reach it, such as `http://10.0.0.3:8000`


class Lease(NamedTuple):
    """A node's ownership of a session. The epoch rises with each change of owner: it is the fence of all writes."""

    session: str
    node: Node
    epoch: int
    alive: bool  # whether the node had renewed itself in time


class Expired(NamedTuple):
    """A node that has expired without leaving: it has crashed, hangs, or is cut off."""

    node: Node
    since: float  # POSIX time, by the database's clock


class Leases(Protocol):
    """The nodes and leases of a cluster. All times are the database's.

    Every method may raise `HistoryUnavailable`; then nothing is known about whether it was done.
    """

    async def join(self, node: Node, ttl: float) -> None:
        """Become `node`. It expires `ttl` seconds after its last renewal."""
        ...

    async def renew(self) -> bool:
        """Live on for another `ttl`. False: the node had expired, and may have lost leases to others (`lost`).

        It lives again afterwards in either case.
        """
        ...

    async def leave(self) -> None:
        """Expire now. The leases that were not released can be taken by any node."""
        ...

    async def tidy(self) -> None:
        """Delete what nobody can need any more: old leases of sessions that do not exist, and nodes that are gone."""
        ...

    async def nodes(self) -> list[Node]:
        """Return the nodes that have not expired."""
        ...

    async def find(self, session: str) -> Lease | None:
        """Return the session's lease; `None` if nobody owns it."""
        ...

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        """Take the session for this node if that is possible now, and return its lease, whoever's it is.

        A lease of this node is returned as it is. A session that is free, whose node has expired, or whose epoch is
        `over`, is taken under the next epoch. Otherwise the other node's lease is returned.
        """
        ...

    async def release(self, lease: Lease, *, unfinished: bool = False) -> None:
        """Give the session up, so that any node can take it. Without effect if the lease was lost.

        With `unfinished`, another node is to look after it: it is among the `orphans`, whatever was left in it.
        """
        ...

    async def release_all(self, leases: Sequence[Lease]) -> None:
        """Give several sessions up at once, in which nothing is unfinished; as `release` does."""
        ...

    async def mine(self) -> list[Lease]:
        """Return the leases that this node has, as the database knows them."""
        ...

    async def lost(self, mine: Mapping[str, int]) -> set[str]:
        """Return which of these sessions are not this node's any more under the epoch given for each."""
        ...

    async def orphans(self, limit: int) -> list[Lease]:
        """Return up to `limit` leases of nodes that have expired, or that were released `unfinished`.

        Sessions with unfinished answers come first. Where nothing is left to do, the lease is released instead.
        """
        ...


class Settled(NamedTuple):
    """What a new owner has done with the answers that an earlier one left unfinished."""

    interrupted: int = 0  # how many it has ended
    goes_on: str | None = None  # the stream that it starts again


class Estate(Protocol):
    """What a session has beside its lease: its log and its history. A new owner settles what an earlier one left."""

    def is_ready(self, session_id: str) -> bool:
        """Whether the session can be opened now."""
        ...

    async def ready(self, session_id: str) -> None:
        """Return once the session can be opened. Raises `HistoryUnavailable` after a bound."""
        ...

    async def take(self, lease: Lease) -> Settled:
        """Open the log of a session, and end the answers that an earlier owner left unfinished, but for one at most.

        That one is started by `go_on`. Raises `HistoryUnavailable`, and `LeaseLost` if a later owner was there before.
        """
        ...

    def go_on(self, session_id: str) -> None:
        """Start the answer again that `take` has left unfinished, if there is one. The session is held by now.

        Synchronous; never raises.
        """
        ...

    def works_on(self, session_id: str) -> bool:
        """Return whether a session is being stored or deleted piece by piece: that needs its lease until the end."""
        ...

    def lose(self, session_id: str, epoch: int) -> None:
        """Another node owns the session, or may: nothing more is written under this epoch, or shown of it.

        Synchronous, idempotent.
        """
        ...

    async def settle(self) -> None:
        """Return once all that was written to the history before is on disk. Raises `HistoryUnavailable`."""
        ...
