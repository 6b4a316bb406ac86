"""A node's life in the cluster: it joins, renews itself, looks after dead nodes' sessions, and leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.cluster.ownership import Ownership
from app.cluster.ports import Leases, Node
from app.tasks.reports import report
from app.tasks.timeouts import within

RENEWALS = 3  # within a time to live
LOOK_SECONDS = 0.5  # between two looks for dead nodes' sessions, at most
SWEEP_SECONDS = 20.0
ORPHANS = 64  # sessions that are taken over at a time
LEAVE_SECONDS = 1.0


class Membership:
    """Renews the node `RENEWALS` times within its time to live, and ends what it owned if that fails too long.

    `reaped` is called after sessions of dead nodes were taken over. `peers` are the other living nodes, as of the
    last renewal, and `on_peers` is called after each.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        ownership: Ownership,
        ttl: float,
        logger: Logger,
        reaped: Callable[[], None],
        on_peers: Callable[[list[Node]], Awaitable[None]],
    ) -> None:
        self.peers: list[Node] = []
        self.trouble = "this node has not joined the cluster yet"  # why it is not ready; "" if it is
        self._leases = leases
        self._ownership = ownership
        self._ttl = ttl
        self._logger = logger
        self._reaped = reaped
        self._on_peers = on_peers
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Membership {self._ownership.node.id} peers={len(self.peers)} {self.trouble}>"

    async def join(self) -> None:
        """Become a node, and stay one until `leave`. Raises `HistoryUnavailable`."""
        began = self._loop.time()
        await self._leases.join(self._ownership.node, self._ttl)
        self._renewed(began)
        await self._meet()
        self._logger.info("node_joined", node=self._ownership.node.id, url=self._ownership.node.url)
        for name, run in (("renew node", self._keep_alive), ("reap nodes", self._keep_looking)):
            task = self._loop.create_task(run(), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def leave(self) -> None:
        """Give up what is left and leave. Bounded; never raises `HistoryUnavailable`: the node then expires."""
        self._ownership.claiming = False
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await within(LEAVE_SECONDS, self._leave())
        except (HistoryUnavailable, TimeoutError) as error:
            self._logger.warning("node_left_in_silence", error=str(error) or "timeout")

    async def _leave(self) -> None:
        await self._ownership.give_idle()
        await self._leases.leave()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            report("a task of the cluster failed", error)

    def _renewed(self, began: float) -> None:
        self._ownership.sure_until = began + self._ttl
        if self.trouble:
            self.trouble = ""

    # ---- renewing --------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        pause = self._ttl / RENEWALS
        while True:
            await asyncio.sleep(pause)
            began = self._loop.time()
            try:
                await within(pause, self._renew(began))
            except (HistoryUnavailable, TimeoutError) as error:
                self._not_renewed(error)

    async def _renew(self, began: float) -> None:
        was_alive = await self._leases.renew()
        if not was_alive:
            self._logger.warning("node_had_expired", node=self._ownership.node.id)
        await self._ownership.check()
        self._renewed(began)
        await self._meet()

    async def _meet(self) -> None:
        nodes = await self._leases.nodes()
        self.peers = [node for node in nodes if node.id != self._ownership.node.id]
        await self._on_peers(nodes)

    def _not_renewed(self, error: Exception) -> None:
        if self._ownership.is_sure:
            return
        if not self.trouble:
            self._logger.error("node_not_renewed", error=str(error) or "timeout")
        self.trouble = "PostgreSQL does not respond, so this node owns no sessions"
        self._ownership.lose_all()

    # ---- dead nodes ------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        pause = min(LOOK_SECONDS, self._ttl / 6)
        swept = self._loop.time()
        while True:
            await asyncio.sleep(pause)
            if not self._ownership.is_sure:
                continue
            try:
                if await self._ownership.reap(ORPHANS):
                    self._reaped()
                if self._loop.time() - swept > SWEEP_SECONDS:
                    swept = self._loop.time()
                    await self._ownership.sweep()
            except HistoryUnavailable as error:
                self._logger.warning("nodes_not_looked_after", error=str(error))
