"""Whether a node answers at the address that it has told the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.chat.ports import Logger
from app.cluster.cluster import NOT_AT_ITS_ADDRESS
from app.cluster.ports import Node
from app.web.nodes.peers import NotBelieved, Peers, Unreachable

LOOK_SECONDS = 5.0  # between two attempts


class OwnAddress:
    """Asks this node for itself until it answers. `node` returns it.

    It may be reached by the others all the same, such as behind a NAT that leads nothing back: so this only warns.
    """

    def __init__(self, peers: Peers, node: Callable[[], Node], logger: Logger) -> None:
        self.trouble = ""  # as a sentence without a full stop
        self._peers = peers
        self._node = node
        self._logger = logger

    def __repr__(self) -> str:
        return f"<OwnAddress {self._node().url} {self.trouble}>"

    async def keep_asking(self) -> None:
        """Ask until the node has answered once."""
        while True:
            if await self.ask():
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def ask(self) -> bool:
        """Ask once; return whether the node has answered."""
        node = self._node()
        try:
            await self._peers.meet(node)
        except (Unreachable, NotBelieved) as error:
            if not self.trouble:
                self._logger.warning(
                    "node_address_wrong",
                    url=node.url,
                    reason=str(error),
                    advice="set TAILRACE_NODE_URL to an address of this node alone, at which the other nodes reach it",
                )
            self.trouble = NOT_AT_ITS_ADDRESS
            return False
        if self.trouble:
            self.trouble = ""
            self._logger.info("node_address_right", url=node.url)
        return True
