"""The end of the process: running answers may finish, a second signal ends that wait, and a bound ends all the rest."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Self

import structlog

from app.streams.registry import Registry

END_SECONDS = 1.8  # from the end of the wait for answers to that of the process, whatever hangs
SAY_SECONDS = 0.1  # for the last line of the log, which may hang as well


class ShutdownWatchdog:
    """Ends the process from a thread of its own, if it is armed and its block does not end in time.

    A model that does not let go, a viewer that does not read or a database that does not answer each have bounds of
    their own. This one holds for all of them together, and for what nobody has thought of. Answers are written as
    they grow and each transaction is whole, so it is no worse than a power cut: the next start ends what was open.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()

    def arm(self, seconds: float) -> None:
        """Leave in so many seconds; what was said before does not count any more."""
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


async def drain(
    registry: Registry, patience: float, hurry: asyncio.Event, last_resort: ShutdownWatchdog
) -> None:
    """Let running answers finish within `patience` seconds; `hurry` ends the wait. What still runs is interrupted."""
    last_resort.arm(patience + END_SECONDS)
    draining = asyncio.create_task(registry.close(patience=patience), name="drain")
    hurrying = asyncio.create_task(hurry.wait(), name="hurry")
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    if hurry.is_set():
        last_resort.arm(END_SECONDS)
    for task in (draining, hurrying):
        task.cancel()
    await asyncio.wait({draining, hurrying})
