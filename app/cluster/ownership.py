"""Which sessions this node owns: how it gets them, how it notices that it lost them, and how it gives them up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.cluster.ports import Answers, Lease, Leases, Node
from app.streams.registry import Registry

KEPT_SECONDS = 60.0  # for which a session is owned that nobody uses
WHOEVER = 0  # the epoch of a lease that nobody has: the node that is asked takes the session itself


class Opening(Protocol):
    """Prepares what a session needs on its new owner, such as its log. Called once per lease, before it is used."""

    def __call__(self, lease: Lease, /) -> Awaitable[None]: ...


class Held(NamedTuple):
    """A session that this node owns."""

    lease: Lease
    since: float  # loop time


class Ownership:
    """The leases that this node holds. Whether one is held is known without I/O; taking one is a transaction.

    `tell` is called with each session that was taken from another node, so that the others learn of it. `opening`
    prepares a session on this node before its first request.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        answers: Answers,
        registry: Registry,
        node: Node,
        logger: Logger,
        tell: Callable[[Lease], None],
        opening: Opening | None = None,
    ) -> None:
        self.node = node
        self.claiming = True  # off while the node leaves
        self.sure_until = 0.0  # loop time up to which no other node can have taken an expired lease
        self.takeovers = 0
        self.losses = 0
        self._leases = leases
        self._answers = answers
        self._registry = registry
        self._logger = logger
        self._tell = tell
        self._opening = opening
        self._held: dict[str, Held] = {}
        self._taking: dict[str, asyncio.Task[Lease]] = {}
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Ownership {self.node.id} held={len(self._held)}>"

    def __len__(self) -> int:
        """Number of sessions that this node owns."""
        return len(self._held)

    @property
    def is_sure(self) -> bool:
        """Whether this node has been renewed in time, by its own clock."""
        return self._loop.time() < self.sure_until

    def holds(self, session_id: str, epoch: int | None = None) -> bool:
        """Return whether this node owns the session now (under this epoch). Without I/O."""
        held = self._held.get(session_id)
        return held is not None and self.is_sure and epoch in (None, held.lease.epoch)

    def epochs(self) -> dict[str, int]:
        """Return the sessions of this node with their epochs."""
        return {session_id: held.lease.epoch for session_id, held in self._held.items()}

    # ---- taking ----------------------------------------------------------------------------------------------

    async def owner(self, session_id: str, *, over: int | None = None) -> Lease:
        """Return the lease of a session, after taking it if that is possible. `over` is the epoch to take it from.

        While this node leaves it takes nothing: then the lease of a free session names another node and the epoch
        `WHOEVER`. Raises `HistoryUnavailable`.
        """
        held = self._held.get(session_id)
        if held is not None and self.is_sure and over is None:
            self._held[session_id] = held._replace(since=self._loop.time())
            return held.lease
        if not self.claiming:
            return await self._elsewhere(session_id)
        task = self._taking.get(session_id)
        if task is None:
            task = self._loop.create_task(self._take(session_id, over), name=f"take {session_id}")
            self._taking[session_id] = task
            task.add_done_callback(lambda _: self._taking.pop(session_id, None))
        return await asyncio.shield(task)

    async def _elsewhere(self, session_id: str) -> Lease:
        lease = await self._leases.find(session_id)
        if lease is not None and lease.alive and lease.node.id != self.node.id:
            return lease
        others = [node for node in await self._leases.nodes() if node.id != self.node.id]
        if not others:
            raise HistoryUnavailable("The server is shutting down. Try again in a moment.")
        return Lease(session_id, others[hash(session_id) % len(others)], WHOEVER, True)

    async def _take(self, session_id: str, over: int | None) -> Lease:
        lease = await self._leases.acquire(session_id, over=over)
        held = self._held.get(session_id)
        if held is not None and held.lease[1:3] != lease[1:3]:
            self.lose(session_id)
        if lease.node.id == self.node.id:
            if session_id not in self._held:
                await self._begin(lease, forced=over is not None)
            self._held[session_id] = Held(lease, self._loop.time())
        return lease

    async def _begin(self, lease: Lease, *, forced: bool) -> None:
        """Make the session this node's: end what another node left unfinished, and open its log."""
        if self._opening is not None:
            await self._opening(lease)
        interrupted = await self._answers.interrupt(lease.session) if lease.epoch > 1 else 0
        if interrupted or forced:
            self.takeovers += 1
            self._logger.warning(
                "session_taken_over",
                session=lease.session,
                epoch=lease.epoch,
                interrupted=interrupted,
                forced=forced,
            )
        if lease.epoch > 1:
            self._tell(lease)

    # ---- losing and giving up --------------------------------------------------------------------------------

    def heard(self, session_id: str, epoch: int) -> None:
        """Another node says that it owns a session under this epoch. A hint: a wrong one costs a reconnection."""
        held = self._held.get(session_id)
        if held is not None and held.lease.epoch < epoch:
            self.lose(session_id)

    def lose(self, session_id: str) -> None:
        """The session belongs to another node: stop its models and end its viewers' responses. Synchronous."""
        held = self._held.pop(session_id, None)
        if held is not None:
            self.losses += 1
            self._logger.warning("session_lost", session=session_id, epoch=held.lease.epoch)
            self._registry.abandon(session_id)

    def lose_all(self) -> None:
        """The node could not renew itself in time, so that others may own its sessions."""
        for session_id in tuple(self._held):
            self.lose(session_id)

    async def check(self) -> None:
        """Ask which sessions were lost, and lose them. Raises `HistoryUnavailable`."""
        mine = self.epochs()
        for session_id in await self._leases.lost(mine) if mine else ():
            held = self._held.get(session_id)
            if held is not None and held.lease.epoch == mine[session_id]:
                self.lose(session_id)

    async def give(self, session_id: str, *, wait: float = 0.0) -> None:
        """Give a session up after ending its answers, which have `wait` seconds for it. Raises `HistoryUnavailable`."""
        held = self._held.get(session_id)
        if held is None:
            return
        await self._registry.retire(session_id, wait=wait)
        await self._answers.settle()
        if self._held.get(session_id) is not None:
            del self._held[session_id]
            await self._leases.release(held.lease)

    async def sweep(self) -> None:
        """Give up the sessions that nobody has used for a while. Raises `HistoryUnavailable`."""
        before = self._loop.time() - KEPT_SECONDS
        for session_id, held in tuple(self._held.items()):
            if held.since < before and self._registry.find(session_id) is None:
                await self.give(session_id)

    async def give_idle(self) -> bool:
        """Give up the sessions without a running answer; return whether none is left. Raises `HistoryUnavailable`."""
        for session_id in tuple(self._held):
            session = self._registry.find(session_id)
            if session is None or session.running is None:
                await self.give(session_id)
        return not self._held

    # ---- dead nodes ------------------------------------------------------------------------------------------

    async def reap(self, limit: int) -> int:
        """Take over what expired nodes owned; return how many sessions. Raises `HistoryUnavailable`."""
        if not self.claiming:
            return 0
        reaped = 0
        for orphan in await self._leases.orphans(limit):
            lease = await self.owner(orphan.session)
            reaped += lease.node.id == self.node.id
        return reaped
