"""Shutdown: running answers may finish, a second signal ends that wait, and a hard bound ends the process."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Protocol, Self

import structlog

END_SECONDS = 1.8  # from the end of the wait for answers to the end of the process, whatever hangs
SAY_SECONDS = 0.1  # for the last log line, which may hang as well


class ShutdownWatchdog:
    """Ends the process from a separate thread if it is armed and its block does not end in time.

    A model that does not stop, a viewer that does not read and a database that does not respond each have their own
    bounds. This bound covers all of them together, and unforeseen cases. It is no worse than a power cut: answers are
    stored while they grow, transactions are atomic, and the next start ends the streams that were left open.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()

    def arm(self, seconds: float) -> None:
        """End the process in `seconds`. Replaces an earlier bound."""
        self._disarm()
        self._timer = threading.Timer(seconds, _leave)
        self._timer.daemon = True
        self._timer.start()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _leave() -> None:
    saying = threading.Thread(target=structlog.get_logger().error, args=("shutdown_cut_short",), daemon=True)
    saying.start()
    saying.join(SAY_SECONDS)
    os._exit(0)


class Closing(Protocol):
    """What ends all answers: the registry, or what also hands them to other nodes."""

    async def close(self, *, patience: float = 0.0) -> None:
        """End all streams; they have `patience` seconds to finish."""
        ...


async def drain(
    ending: Closing, patience: float, hurry: asyncio.Event, last_resort: ShutdownWatchdog
) -> None:
    """Let running answers finish within `patience` seconds, or until `hurry` is set; then interrupt the rest."""
    last_resort.arm(patience + END_SECONDS)
    draining = asyncio.create_task(ending.close(patience=patience), name="drain")
    hurrying = asyncio.create_task(hurry.wait(), name="hurry")
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    if hurry.is_set():
        last_resort.arm(END_SECONDS)
    for task in (draining, hurrying):
        task.cancel()
    await asyncio.wait({draining, hurrying})
