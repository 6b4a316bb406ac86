"""Who is let in, and what counts wrong tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.chat.tokens import TokenStore
from app.config.settings import Settings
from app.web.security import access
from app.web.security.gates import Gate, LocalGate, ProxyGate
from app.web.security.guess_counts import GuessCounts
from app.web.security.guesses import Guesses
from app.web.security.refusals import Refusals
from app.wiring.errors import StartupError


def guesses_of(settings: Settings, refusals: Refusals, logger: Logger) -> Guesses:
    """Return what counts wrong tokens. Raises `StartupError`."""
    own = GuessCounts()
    shared = settings.guesses_url or settings.redis_url
    name = "TAILRACE_GUESSES_URL" if settings.guesses_url else "TAILRACE_REDIS_URL"
    if not shared:
        return Guesses(refusals, own)
    if not find_spec("redis"):
        raise StartupError(f"{name} needs the Redis client: pip install 'tailrace[redis]'")
    from app.web.security.shared_counts import SharedCounts

    try:
        return Guesses(refusals, own, SharedCounts(shared, own, logger))
    except ValueError as error:
        raise StartupError(f"{name}: {error}") from error


@asynccontextmanager
async def opened_gate(
    settings: Settings,
    store: TokenStore,
    cookie_secret: bytes,
    guesses: Guesses,
    logger: Logger,
    now: Callable[[], float],
) -> AsyncIterator[Gate]:
    """Yield what decides who is let in. Raises `StartupError`."""
    if settings.mode == "local":
        yield LocalGate()
    elif settings.mode == "proxy":
        yield ProxyGate(settings.proxy_user_header, settings.admins)
    else:
        opened = access.opened(
            settings.access_token, cookie_secret, store=store, guesses=guesses, logger=logger, now=now
        )
        try:
            async with opened as gate:
                yield gate
        except HistoryUnavailable as error:
            raise StartupError(f"cannot read the access tokens: {error}") from error
