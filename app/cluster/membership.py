"""A node's life in the cluster: it joins, renews itself, looks after dead nodes' sessions, and leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.cluster.cluster import LEAVING, NO_POSTGRES, NOT_JOINED
from app.cluster.ownership import Ownership
from app.cluster.ports import Leases, Node
from app.tasks.reports import report
from app.tasks.timeouts import within

RENEWALS = 3  # within a time to live, at least
RENEW_SECONDS = (
    2.0  # between two renewals, at most: a node with a long time to live learns soon, too, what it lost
)
RETRY_SECONDS = 0.2  # after a renewal that failed
LOOK_SECONDS = 0.5  # between two looks for dead nodes' sessions, at most
SWEEP_SECONDS = 20.0
TIDY_SECONDS = 3600.0
ORPHANS = 256  # sessions that are taken over at a look
LEAVE_SECONDS = 1.0


class Membership:
    """Renews the node several times within its time to live; if that fails for too long, it is sure of nothing.

    `peers` are the other living nodes as of the last renewal. `log_is_up` tells whether any of
    the shared log can be used: without it no session can be taken over.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        ownership: Ownership,
        ttl: float,
        logger: Logger,
        log_is_up: Callable[[], bool],
    ) -> None:
        self.peers: list[Node] = []
        self.trouble = NOT_JOINED  # why it is not ready; "" if it is
        self.ttl = ttl
        self._leases = leases
        self._ownership = ownership
        self._logger = logger
        self._log_is_up = log_is_up
        self._has_lost = False  # sessions, since the last renewal
        self._trusts_from = 0.0  # loop time from which on nodes that are not renewed are taken for dead
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Membership {self._ownership.node.id} peers={len(self.peers)} {self.trouble}>"

    @property
    def absence(self) -> str:
        """Why nobody should send it requests, whatever else is away: it has not joined, or leaves. "" otherwise."""
        return self.trouble if self.trouble in (NOT_JOINED, LEAVING) else ""

    async def join(self, node: Node) -> None:
        """Become `node`, and stay it until `leave`. Raises `HistoryUnavailable`."""
        self._ownership.node = node
        began = self._loop.time()
        await self._leases.join(node, self.ttl)
        self._renewed(began)
        await self._meet()
        self._ownership.claiming = True
        self._logger.info("node_joined", node=node.id, url=node.url, peers=len(self.peers))
        for name, run in (
            ("renew node", self._keep_alive),
            ("reap nodes", self._keep_looking),
            ("sweep sessions", self._keep_sweeping),
            ("tidy leases", self._keep_tidy),
        ):
            self._start(name, run())

    def stop_claiming(self) -> None:
        """Take no more sessions: this node is about to leave."""
        self._ownership.claiming = False
        self.trouble = LEAVING

    async def leave(self) -> None:
        """Leave at once: what is still owned can be taken by others. Bounded; if PostgreSQL is away, it expires."""
        self.stop_claiming()
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        try:
            await within(LEAVE_SECONDS, self._leases.leave())
        except (HistoryUnavailable, TimeoutError) as error:
            self._logger.warning("node_left_in_silence", error=str(error) or "timeout")
        else:
            self._logger.info("node_left", node=self._ownership.node.id)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            report("a task of the cluster failed", error)

    # ---- renewing --------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        pause = self._interval
        while True:
            await asyncio.sleep(pause)
            pause = self._interval if await self.renew() else min(RETRY_SECONDS, self._interval)

    @property
    def _interval(self) -> float:
        """Seconds between two renewals, and for one."""
        return min(self.ttl / RENEWALS, RENEW_SECONDS)

    async def renew(self) -> bool:
        """Renew once; return whether that succeeded."""
        began = self._loop.time()
        try:
            await within(self._interval, self._renew(began))
        except (HistoryUnavailable, TimeoutError) as error:
            self._not_renewed(error)
            return False
        except Exception as error:
            self._logger.error("node_not_renewed", exc_info=error)
            self._not_renewed(error)
            return False
        return True

    async def _renew(self, began: float) -> None:
        if not await self._leases.renew():
            self._logger.warning("node_had_expired", node=self._ownership.node.id)
            # PostgreSQL may have been away for the other nodes, too. Each that lives has tried again twice by then.
            self._trusts_from = self._loop.time() + 2 * self._interval + RETRY_SECONDS
        # What others took meanwhile is lost before the rest counts as sure.
        await self._ownership.check()
        self._renewed(began)
        if self._has_lost:
            # PostgreSQL still says that they are this node's, so no other one can take them.
            self._has_lost = False
            self._start("release lost sessions", self._try(self._ownership.release_unknown))
        await self._meet()

    def _renewed(self, began: float) -> None:
        # From before the statement: PostgreSQL counts the time to live from a later moment.
        self._ownership.sure_until = began + self.ttl
        self._ownership.confirmed_until = began + 2 * self._interval
        if self.trouble != LEAVING:
            self.trouble = ""

    async def _meet(self) -> None:
        own = self._ownership.node.id
        self.peers = [node for node in await self._leases.nodes() if node.id != own]

    def _not_renewed(self, error: Exception) -> None:
        if self._ownership.is_sure:
            return
        if not self.trouble:
            self._logger.error("node_not_renewed", error=str(error) or "timeout")
            self.trouble = NO_POSTGRES
        # A log that is up refuses what a node writes after another one took the session, and nothing is shown that it
        # has not taken. So its answers may go on while PostgreSQL is away for everybody.
        if self._ownership.lose_unlogged():
            self._has_lost = True

    # ---- dead nodes ------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        await self._repeat(self._reap, min(LOOK_SECONDS, self.ttl / 6))

    async def _reap(self) -> None:
        if self._loop.time() < self._trusts_from:
            return
        while await self._ownership.reap(ORPHANS):
            pass  # more may be left

    async def _keep_sweeping(self) -> None:
        """Apart from the look for dead nodes: there may be thousands of sessions to give up."""
        await self._repeat(self._ownership.sweep, SWEEP_SECONDS)

    async def _keep_tidy(self) -> None:
        """Each id that somebody made up may have left a row."""
        await self._repeat(self._leases.tidy, TIDY_SECONDS)

    async def _repeat(self, work: Callable[[], Awaitable[object]], pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            if self._ownership.is_sure and self._log_is_up():
                await self._try(work)

    async def _try(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except HistoryUnavailable as error:
            self._logger.warning("nodes_not_looked_after", error=str(error))
        except Exception as error:
            self._logger.error("nodes_not_looked_after", exc_info=error)
