"""The whole chat as a sub-application of an aiohttp application: `parent.add_subapp("/chat", tailrace(…))`."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

from aiohttp import web
from jinja2 import BaseLoader, FileSystemLoader, PrefixLoader

from app.agent import Agent
from app.backends.agents import loading
from app.config import config_file
from app.config.credentials import with_credentials
from app.config.settings import Settings as Settings
from app.config.settings import SettingsError as SettingsError
from app.config.settings import data_dir, load
from app.streams.auto_continue import AutoContinue
from app.telemetry.logging import into
from app.telemetry.loop_health import LoopHealth
from app.web import application
from app.web.app_keys import REGISTRY
from app.web.assets.folders import folder
from app.web.security.guess_counts import GuessCounts
from app.web.security.guesses import Guesses
from app.web.security.parent_gate import ParentGate, User
from app.web.security.refusals import Refusals
from app.wiring import parts
from app.wiring.data_folder import data_folder
from app.wiring.errors import StartupError as StartupError

GATE = web.AppKey("parent_gate", ParentGate)
CLOSING = web.AppKey("closing", AsyncExitStack)
HEALTH = web.AppKey("health", LoopHealth)
NO_AGENTS: Mapping[str, Agent] = MappingProxyType({})


def tailrace(
    settings: Settings | None = None,
    *,
    user: User,
    sign_in: str | None = None,
    agents: Mapping[str, Agent] = NO_AGENTS,
) -> web.Application:
    """Return the chat as an application, to be added to another one.

    `settings` are by default those of the environment and of the configuration file, as for `tailrace serve`; what
    says where to listen, and how to sign in, has no meaning here. `user` tells who sends a request: the id of a user,
    `None` for nobody, or an awaitable of either. Browsers of nobody are led to `sign_in`, with `?next=`. `agents` are
    models of this process by name, beside those of the settings.

    It opens when its parent starts, and closes with it. Raises `SettingsError`, and at start `StartupError`.
    """
    chosen = settings if settings is not None else _from_environment()
    _check(chosen)
    try:
        known = loading.checked(agents)
    except loading.AgentUnusable as error:
        raise SettingsError(f"agents: {error}") from error
    # Through the parent's logging: how lines look, and where they go, is for the parent to say.
    logger = into(logging.getLogger("tailrace"))
    gate = ParentGate(user, sign_in=sign_in, admins=chosen.admins)
    refusals = Refusals(logger)
    app = application.create_application(
        parts=None,
        gate=gate,
        limits=parts.limits(chosen),
        heartbeat=chosen.heartbeat,
        allowed_hosts=chosen.allowed_hosts,
        allowed_origins=chosen.allowed_origins,
        frame_ancestors=chosen.frame_ancestors,
        base=None,
        trusted_proxies=chosen.trusted_proxies,
        guesses=Guesses(refusals, GuessCounts()),
        refusals=refusals,
        logger=logger,
    )
    app[GATE] = gate

    async def running(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            # Closed in reverse order. Each is closed even if the one before it fails or is cancelled.
            with data_folder(chosen.data_dir, logger):
                inside = await closing.enter_async_context(parts.opened(chosen, logger, agents=known))
            application.fill(app, inside.parts, _base(app, chosen))
            closing.push_async_callback(inside.catalog.aclose)
            closing.push_async_callback(inside.registry.close)
            inside.catalog.start()
            app[CLOSING], app[HEALTH] = closing, inside.health
            if chosen.continue_ == "auto":
                taking_up = AutoContinue(registry=inside.registry, catalog=inside.catalog, logger=logger)
                await closing.enter_async_context(taking_up.running())
            yield

    async def watch(app: web.Application) -> None:
        # Last, so that reading the templates does not count.
        health = app[HEALTH]
        await app[CLOSING].enter_async_context(health)

    async def drain(app: web.Application) -> None:
        await app[REGISTRY].close(patience=chosen.drain_timeout)

    app.cleanup_ctx.append(running)
    app.on_startup.append(watch)
    # aiohttp waits for open responses after this signal: the event streams end with the answers that they show.
    app.on_shutdown.append(drain)
    return app


def signed_out(chat: web.Application, user: str) -> None:
    """Cut what is open of a user who has signed out of the parent: event streams, and what is still being read.

    Without this it stays open until the browser closes it, and shows nothing but this user's own chats.
    """
    chat[GATE].end(user)


def templates() -> BaseLoader:
    """Return a loader for a Jinja environment of yours: `{% from "tailrace/chat.html" import chat %}`.

    Raises `FileNotFoundError` for an incomplete installation.
    """
    return PrefixLoader({"tailrace": FileSystemLoader(folder("templates") / "embed")})


def _from_environment() -> Settings:
    environ = with_credentials(os.environ)
    path = config_file.find(environ, data_dir(environ))
    return load(environ, config_file.read(path) if path is not None else None)


def _check(settings: Settings) -> None:
    """Raise `SettingsError` for a sign-in that would be ignored, and for a cluster, which needs whole servers."""
    if settings.redis_url is not None:
        raise SettingsError(
            "TAILRACE_REDIS_URL: a sub-application cannot be a node of a cluster. Leave it out, or run `tailrace serve`"
        )
    for name, value in (("TAILRACE_AUTH", settings.auth), ("TAILRACE_ACCESS_TOKEN", settings.access_token)):
        if value is not None:
            raise SettingsError(
                f"{name} has no effect in a sub-application: `user` says who is let in. Leave it out"
            )


def _base(app: web.Application, settings: Settings) -> str:
    """Return the path that the parents have put in front of every address. Raises `StartupError`."""
    base = next(iter(app.router.resources())).canonical  # of our start page, without its slash
    if settings.base_path.rstrip("/") not in ("", base):
        raise StartupError(
            f"TAILRACE_BASE_PATH is {settings.base_path}, but the chat is at {base or '/'}: leave the setting out"
        )
    return base
