"""Where the server listens: the host and port of the settings, or sockets that listen already."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from app.config.settings import Settings, is_loopback
from app.wiring.errors import StartupError

# Connections that may wait to be accepted. Beyond it the kernel drops them, and a client retries a second later.
BACKLOG = 2048


async def listen(runner: web.AppRunner, settings: Settings) -> int:
    """Start to listen and return the port number. Raises `StartupError`."""
    site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror or error
        advice = "Is another server using it? Set TAILRACE_PORT to choose another port."
        raise StartupError(f"cannot listen on {where}: {reason}. {advice}") from error
    address: Any = runner.addresses[0]
    return int(address[1])


async def take_over(runner: web.AppRunner, settings: Settings, sockets: Sequence[socket.socket]) -> int:
    """Serve on listening sockets and return the first one's port. Raises `StartupError`."""
    for sock in sockets:
        host = sock.getsockname()[0]
        if settings.mode == "local" and not is_loopback(host):
            raise StartupError(
                f"the socket unit listens on {host}: this would expose the server to other machines without a "
                "token. Set TAILRACE_AUTH to tokens or proxy, or use ListenStream=127.0.0.1:8080"
            )
        await web.SockSite(runner, sock, backlog=BACKLOG).start()
    address: Any = runner.addresses[0]
    return int(address[1])
