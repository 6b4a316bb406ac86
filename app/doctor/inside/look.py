"""All checks of the server's own machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from app.chat.ports import Catalog
from app.config.settings import Settings
from app.doctor.findings import Finding, problem
from app.doctor.inside import backends, clock, database, disk, open_files, permissions, port
from app.wiring.errors import StartupError

Open = Callable[[Settings], AbstractAsyncContextManager[Catalog]]


async def check(settings: Settings, catalog: Open) -> AsyncIterator[Finding]:
    """Check the machine of a server with these settings. `catalog` opens its model servers."""
    yield await port.check(settings)
    try:
        async with catalog(settings) as opened:
            async for finding in backends.check(opened, settings.default_model):
                yield finding
    except StartupError as error:
        yield problem(backends.CHECK, str(error), "Correct it. The server does not start until then.")
    try:
        for finding in await database.check(settings):
            yield finding
        for finding in (*disk.check(settings.data_dir), *permissions.check(settings.data_dir)):
            yield finding
    except OSError as error:
        text = f"cannot look into {settings.data_dir}: {error.strerror}"
        yield problem(
            disk.CHECK, text, "Run this as the server's user, or set TAILRACE_DATA_DIR to another folder."
        )
    yield clock.check()
    yield open_files.check(settings.max_streams)
