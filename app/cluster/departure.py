"""How a node leaves: its idle sessions go at once, the others when their answers have ended, or at a bound."""

from __future__ import annotations

import asyncio

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.cluster.membership import Membership
from app.cluster.ownership import Ownership
from app.streams.registry import Registry
from app.tasks.timeouts import within

LOOK_SECONDS = 0.25  # between two looks for sessions that have become idle


class Departure:
    """Gives all sessions to the other nodes, then ends the registry. Idempotent."""

    def __init__(
        self, *, membership: Membership, ownership: Ownership, registry: Registry, logger: Logger
    ) -> None:
        self._membership = membership
        self._ownership = ownership
        self._registry = registry
        self._logger = logger

    def __repr__(self) -> str:
        return f"<Departure {self._ownership!r}>"

    def stop_claiming(self) -> None:
        """Take no more sessions, and be ready no more: this node is about to leave."""
        self._membership.stop_claiming()

    async def close(self, *, patience: float = 0.0) -> None:
        """Let running answers end within `patience` seconds; interrupt the others, which another node may continue.

        Viewers' responses end with their session's move. Takes at most about two seconds more.
        """
        self._membership.stop_claiming()
        await self._let_end(patience)
        try:
            await self._ownership.give_all(wait=self._registry.bounds.shutdown_timeout)
        except HistoryUnavailable as error:
            self._logger.warning("sessions_not_given_up", left=len(self._ownership), error=str(error))
        await self._registry.close()

    async def _let_end(self, patience: float) -> None:
        """Give each session up once nothing goes on in it. Returns when none is left, or after `patience` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        trouble = ""
        while (left := deadline - loop.time()) > 0:
            try:
                if await within(left, self._ownership.give_idle()):
                    return
            except TimeoutError:
                return
            except HistoryUnavailable as error:  # the answers can go on all the same
                if not trouble:
                    trouble = str(error)
                    self._logger.warning("sessions_not_given_up", left=len(self._ownership), error=trouble)
            await self._ownership.one_ended(min(LOOK_SECONDS, max(0.0, deadline - loop.time())))
