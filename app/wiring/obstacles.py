"""What keeps a server from starting, as far as its settings tell: for `tailrace doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from app.config.settings import Settings
from app.web.security.refusals import Refusals
from app.wiring import node
from app.wiring.access import guesses_of
from app.wiring.errors import StartupError


def obstacles(settings: Settings) -> list[str]:
    """Return the sentences with which the start would refuse these settings. Nothing is written or connected to."""
    return list(dict.fromkeys(_refusals(settings)))  # one wrong address may be refused twice


def _refusals(settings: Settings) -> Iterator[str]:
    logger = structlog.get_logger()
    checks: tuple[Callable[[], object], ...] = (
        lambda: guesses_of(settings, Refusals(logger), logger),
        lambda: node.check(settings),
    )
    for check in checks:
        try:
            check()
        except StartupError as error:
            yield str(error)
