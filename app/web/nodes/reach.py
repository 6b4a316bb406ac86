"""Which nodes this one reaches: whether a reader may take a session over from a node that lives, but does not answer.

A request that writes takes it over at once. Readers are many and come by themselves, so they must take nothing from an
owner that all others reach, because this node is the one that is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.cluster.ports import UNOWNED, Lease, Node
from app.web.nodes.peers import Peers

FRESH_SECONDS = 1.0  # for which an answer of all nodes is good: many readers may ask
AGAIN_SECONDS = 60.0  # before a reader of this node takes the same session again
END_SECONDS = 1.0  # for questions at the end


class Taken(NamedTuple):
    """A session that a reader has taken over."""

    epoch: int  # from which
    at: float  # loop time


class Reach:
    """Asks the other nodes that live, all at once, whether they answer. `nodes` returns them."""

    def __init__(self, peers: Peers, nodes: Callable[[], Sequence[Node]]) -> None:
        self._peers = peers
        self._nodes = nodes
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[frozenset[str]] | None = None
        self._since = 0.0  # loop time at which `_asking` began
        self._taken: dict[str, Taken] = {}  # by session, the oldest first

    def __repr__(self) -> str:
        return f"<Reach taken={len(self._taken)}>"

    async def close(self) -> None:
        """Ask no longer. Bounded."""
        if self._asking is not None and not self._asking.done():
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=END_SECONDS)

    async def may_take(self, lease: Lease) -> bool:
        """Return whether a reader may take this session from a node that it has waited for. Notes that it does.

        Not from a node that answers, not if this node reaches less than half of the others that live, and not again
        within a minute: two nodes that do not reach each other would take it from each other all the time.
        """
        if lease.epoch == UNOWNED:
            return False  # this node takes nothing now
        if (taken := self._before(lease)) is not None:
            return taken
        others = {node.id for node in self._nodes()} - {lease.node.id}
        owner_answers, reached = await asyncio.gather(self._peers.reaches(lease.node), self._reached())
        if owner_answers or 2 * len(reached & others) < len(others):
            return False
        if (taken := self._before(lease)) is not None:
            return taken
        self._taken.pop(lease.session, None)
        self._taken[lease.session] = Taken(lease.epoch, self._loop.time())
        return True

    def _before(self, lease: Lease) -> bool | None:
        """Return whether readers of this session take it under the same epoch just now; `None` if they took nothing."""
        before = self._loop.time() - AGAIN_SECONDS
        while self._taken and (oldest := next(iter(self._taken.items())))[1].at < before:
            del self._taken[oldest[0]]
        taken = self._taken.get(lease.session)
        if taken is None:
            return None
        if taken.epoch != lease.epoch:
            return False
        return True if self._loop.time() - taken.at <= FRESH_SECONDS else None

    async def _reached(self) -> frozenset[str]:
        """Return the ids of the nodes that answer."""
        is_old = self._loop.time() - self._since > FRESH_SECONDS
        if self._asking is None or (is_old and self._asking.done()):
            self._since = self._loop.time()
            self._asking = self._loop.create_task(self._ask(), name="ask which nodes answer")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> frozenset[str]:
        nodes = list(self._nodes())
        answers = await asyncio.gather(*(self._peers.reaches(node) for node in nodes))
        return frozenset(node.id for node, answer in zip(nodes, answers, strict=True) if answer)
