"""Tells systemd that the server is ready, that it stops, and that its event loop runs (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


class Notifier(NamedTuple):
    """Sends states to the socket of the service manager. Does nothing if `address` is `None`."""

    address: str | None = None  # of a Unix datagram socket; a NUL first means the abstract namespace
    interval: float | None = None  # seconds between two signs of life; `None`: the manager expects none

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Read the manager's variables and remove them, so that child processes do not report."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        if not address.startswith(("/", "@")):
            return cls()
        is_watched = microseconds.isdecimal() and int(microseconds) > 0 and pid == str(os.getpid())
        path = "\0" + address[1:] if address.startswith("@") else address
        # Half of the limit, as sd_watchdog_enabled(3) recommends.
        return cls(path, int(microseconds) / 1e6 / 2 if is_watched else None)

    def tell(self, state: str) -> None:
        """Send a state without waiting. If it cannot be sent, the log says so and the server goes on."""
        if self.address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.setblocking(False)
                to.connect(self.address)
                to.send(state.encode())
        except OSError as error:
            structlog.get_logger().warning("systemd_not_told", state=state, error=str(error))

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Send signs of life during the block. If the event loop hangs, systemd gets none and kills the server."""
        if self.address is None or self.interval is None:
            yield
            return
        beating = asyncio.create_task(self._beat(self.interval), name="systemd-watchdog")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    async def _beat(self, interval: float) -> None:
        while True:
            self.tell(ALIVE)
            await asyncio.sleep(interval)
