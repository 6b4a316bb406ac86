"""A fault of CPython's that closing servers meet: a connection that is accepted while its server closes stays open.

`Server._attach` fails then, inside the constructor of the transport, and neither transport nor socket is closed. Later
the collector complains about them in an unrelated test. Browsers that connect again and again make it likely.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import selector_events
from typing import Any


def mend_accepting() -> None:
    """Close a connection whose server has closed meanwhile."""
    loop: Any = selector_events.BaseSelectorEventLoop
    accept = loop._accept_connection2

    async def accepting(
        self: Any, protocol_factory: Any, conn: socket.socket, extra: Any, *rest: Any, **more: Any
    ) -> None:
        server = rest[1] if len(rest) > 1 else more.get("server")
        if isinstance(server, asyncio.Server) and not server.is_serving():
            conn.close()
        else:
            await accept(self, protocol_factory, conn, extra, *rest, **more)

    loop._accept_connection2 = accepting
