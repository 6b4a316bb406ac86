"""`tailrace serve`: runs the server until a signal, then lets the answers finish."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

from app.config.settings import Settings
from app.shutdown import ShutdownWatchdog, drain
from app.systemd import notifying
from app.systemd.listening import UnusableSocket, take_sockets
from app.systemd.notifying import Notifier
from app.watchdog import Watchdog
from app.wiring.errors import StartupError
from app.wiring.server import running


def serve(settings: Settings, watchdog: Watchdog) -> int:
    """Run the server until SIGINT or SIGTERM; return the exit code. Raises `StartupError`."""
    with ShutdownWatchdog() as last_resort, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, last_resort, watchdog))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, or `None` where uvloop does not exist (Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, last_resort: ShutdownWatchdog, watchdog: Watchdog) -> int:
    asked_to_stop, asked_twice = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (asked_twice if asked_to_stop.is_set() else asked_to_stop).set()

    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, stop)
    watchdog.listen()
    try:
        sockets = take_sockets(os.environ)
    except UnusableSocket as error:
        raise StartupError(str(error)) from error
    notifier = Notifier.take(os.environ)
    async with running(settings, sockets=sockets) as server, notifier.alive():
        print(f"Tailrace is serving on {server.url}{settings.base_path.rstrip('/')}", flush=True)
        notifier.tell(notifying.READY)
        # Objects loaded at start live as long as the process, so the garbage collector need not scan them again.
        gc.collect()
        gc.freeze()
        # A request makes hundreds of objects, few of them in cycles: looking at each 700 was 8 % of an exchange.
        gc.set_threshold(10_000, 20, 20)
        gc.enable()
        await asked_to_stop.wait()
        notifier.tell(notifying.STOPPING)
        if server.registry.statistics().active:
            print(
                f"Finishing answers, up to {settings.drain_timeout:g} s. Press Ctrl-C again to stop now.",
                flush=True,
            )
        await drain(server.departure, settings.drain_timeout, asked_twice, last_resort)
    return 0
