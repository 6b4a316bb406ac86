"""The parts behind an application: history, registry, catalogue, measures."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.agent import Agent
from app.backends.catalog import Catalog
from app.chat.ports import Backend, Logger
from app.chat.quotas import StorageLimits, UseLimits
from app.config.settings import Settings
from app.history import opening
from app.history.errors import DatabaseUnusable
from app.history.fence import Fence
from app.history.memory import MemoryHistory
from app.history.sql import SqlHistory
from app.streams.bounds import Bounds
from app.streams.line import Lines
from app.streams.registry import Registry
from app.telemetry import metrics, tracing
from app.telemetry.loop_health import LoopHealth
from app.telemetry.sources import Sources
from app.web.application import Parts
from app.web.events.measures import ViewerMeasures
from app.web.limits import Limits
from app.wiring.errors import StartupError
from app.wiring.models import answers, catalog_of
from app.wiring.node import opened_node, opened_shared

if TYPE_CHECKING:
    from app.nodes.starting import ClusterNode


def bounds(settings: Settings) -> Bounds:
    """Return the bounds of the core: those that are settings have the same names."""
    known = msgspec.convert(settings, Bounds, from_attributes=True)
    return msgspec.structs.replace(known, log_tokens=settings.log_level == "debug")


@asynccontextmanager
async def _history(
    settings: Settings, logger: Logger, fence: Fence | None = None
) -> AsyncIterator[MemoryHistory | SqlHistory]:
    """Open the history; close it at the end, after everything has been written. Raises `StartupError`."""
    try:
        async with opening.opened(
            settings.database_url,
            settings.data_dir,
            logger=logger,
            alone=True,
            limits=msgspec.convert(settings, StorageLimits, from_attributes=True),
            fence=fence,
            use=msgspec.convert(settings, UseLimits, from_attributes=True) if fence is not None else None,
        ) as history:
            yield history
    except DatabaseUnusable as error:
        raise StartupError(f"cannot open the history: {error}") from error


class Opened(NamedTuple):
    """The parts behind an application, with an open history. Nothing runs yet."""

    history: MemoryHistory | SqlHistory
    registry: Registry
    catalog: Catalog
    health: LoopHealth
    parts: Parts
    node: ClusterNode | None  # of a cluster


@asynccontextmanager
async def opened(
    settings: Settings,
    logger: Logger,
    *,
    extra: tuple[Backend, ...] = (),
    agents: Mapping[str, Agent] = MappingProxyType({}),
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Opened]:
    """Yield the parts of a server. Raises `StartupError`.

    The caller starts and closes the catalogue, closes the registry, and enters the health.
    """
    # The history is closed after the other parts, because they write to it as they close; spans are sent last.
    async with (
        tracing.opened(os.environ, logger) as tracer,
        opened_shared(settings, logger) as shared,
        _history(settings, logger, shared.fence if shared is not None else None) as history,
    ):
        catalog = catalog_of(settings, logger, extra, agents)
        lines = Lines(answers(settings), settings.line_limit)
        registry = Registry(
            history=history,
            bounds=bounds(settings),
            logger=logger,
            now=now,
            lines=lines,
            logs=shared,
            prepare=shared.prepare if shared is not None else None,
            own=shared.own if shared is not None else None,
        )
        health = LoopHealth(logger=logger, stacks=settings.log_level == "debug")
        viewers = ViewerMeasures()
        async with opened_node(settings, shared, history, registry, catalog, logger) as node:
            read_node = node.figures if node is not None else None
            figures = metrics.collectors(
                Sources(registry.statistics, viewers, history.load, catalog.health, health, read_node)
            )
            cluster = node.cluster if node is not None else None
            parts = Parts(
                registry, history, catalog, lambda: metrics.render(figures), viewers, tracer, cluster
            )
            yield Opened(history, registry, catalog, health, parts, node)


def limits(settings: Settings) -> Limits:
    """Return the limits on requests."""
    return Limits(
        max_prompt_bytes=settings.max_prompt_bytes,
        max_image_bytes=settings.max_image_bytes,
        max_answer_bytes=settings.max_answer_bytes,
        continuing=settings.continue_ != "off",
        owner_event_streams=settings.owner_event_streams,
    )
