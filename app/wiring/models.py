"""The model servers that the settings name, and the catalogue of their models."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import structlog

from app.agent import Agent
from app.backends.agents import loading
from app.backends.agents.backend import AgentBackend
from app.backends.catalog import Catalog
from app.backends.embedded.backend import SLOTS, EmbeddedBackend
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedBackend
from app.chat.ports import Backend, Logger
from app.config.servers import ModelServer
from app.config.settings import Settings
from app.wiring.errors import StartupError


def backends(
    settings: Settings, logger: Logger, agents: Mapping[str, Agent] = MappingProxyType({})
) -> list[Backend]:
    """Return the configured backends. The order decides which one provides the default model.

    `agents` are by name, beside those of the settings.
    """
    chosen: list[Backend] = []
    if settings.openai_url:
        chosen.append(OpenAIBackend(settings.openai_url, api_key=settings.openai_api_key, logger=logger))
    chosen.extend(_backend(server, logger) for server in settings.servers)
    if settings.ollama_url:
        chosen.append(OllamaBackend(settings.ollama_url, logger=logger))
    if settings.agents or agents:
        chosen.append(AgentBackend({**_agents(settings), **agents}, logger=logger))
    if settings.embedded:
        chosen.append(EmbeddedBackend(logger=logger))
    if settings.scripted:
        chosen.append(ScriptedBackend())
    return chosen


def _agents(settings: Settings) -> dict[str, Agent]:
    """Import the agents, also from the current folder. Raises `StartupError`."""
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a console script does not have it there, `python -m` does
    try:
        return loading.load(settings.agents)
    except loading.AgentUnusable as error:
        raise StartupError(f"TAILRACE_AGENTS: {error}") from error


def _backend(server: ModelServer, logger: Logger) -> Backend:
    make = OllamaBackend if server.api == "ollama" else OpenAIBackend
    return make(
        server.url,
        name=server.name,
        api_key=server.key,
        headers=server.headers,
        context=server.context,
        logger=logger,
    )


def named_models(settings: Settings) -> dict[str, list[str]]:
    """Return the models that can be used even if the server does not list them, by server name.

    The default model is included if its server is OpenAI-compatible.
    """
    named = {server.name: list(server.models) for server in settings.servers}
    if settings.openai_url:
        named["openai"] = []
    ollamas = {server.name for server in settings.servers if server.api == "ollama"}
    prefix, _, model = (settings.default_model or "").partition("/")
    if prefix in named and prefix not in ollamas and model not in named[prefix]:
        named[prefix].append(model)
    return named


def catalog_of(
    settings: Settings,
    logger: Logger,
    extra: tuple[Backend, ...] = (),
    agents: Mapping[str, Agent] = MappingProxyType({}),
) -> Catalog:
    """Return the catalogue of the configured model servers, of `extra` ones and of `agents`, by name."""
    return Catalog(
        [*backends(settings, logger, agents), *extra],
        logger=logger,
        default=settings.default_model,
        named=named_models(settings),
        contexts={server.name: server.context for server in settings.servers if server.context},
    )


@asynccontextmanager
async def opened_catalog(settings: Settings) -> AsyncIterator[Catalog]:
    """Yield the catalogue of the configured model servers by itself, without a server. No model is started."""
    catalog = catalog_of(settings, structlog.get_logger())
    try:
        yield catalog
    finally:
        await catalog.aclose()


def answers(settings: Settings) -> dict[str, int]:
    """Return how many answers a model server gives at once, by its name. Others take any number of prompts."""
    limited = {server.name: server.answers for server in settings.servers if server.answers is not None}
    return {**limited, EmbeddedBackend.name: SLOTS}
