"""The ports of a cluster: its nodes, and the leases that say which node owns a session.

The truth about both is in the database that the nodes share, so what a lease says is never older than a transaction.
A session is named by its scoped id (`app.chat.scoped_ids`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


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

    async def release(self, lease: Lease) -> None:
        """Give the session up, so that any node can take it. Without effect if the lease was lost."""
        ...

    async def lost(self, mine: Mapping[str, int]) -> set[str]:
        """Return which of these sessions are not this node's any more under the epoch given for each."""
        ...

    async def orphans(self, limit: int) -> list[Lease]:
        """Return up to `limit` leases of nodes that have expired."""
        ...


class Answers(Protocol):
    """What a node needs of the history, besides reading and writing it."""

    async def interrupt(self, session_id: str) -> int:
        """End the answers of a session that another node left unfinished, with their stored text; return how many.

        Raises `HistoryUnavailable`.
        """
        ...

    async def settle(self) -> None:
        """Return once all that was written before is on disk. Raises `HistoryUnavailable`."""
        ...
