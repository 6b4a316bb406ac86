"""Closes a connection without sending what is left."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress


def discard(transport: asyncio.Transport) -> None:
    """Close a connection at once, also dropping what the system has taken to send: that may be megabytes."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError, struct.error):
            # Without a wait, the end of the connection is a reset (socket(7), `SO_LINGER`).
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
