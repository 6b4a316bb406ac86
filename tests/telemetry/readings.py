"""Readings for tests of metrics."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry

from app.chat.records import HistoryLoad
from app.cluster.figures import NodeFigures
from app.measures import QUICK, Histogram, Histograms
from app.streams.counters import LineState
from app.streams.line import WAITS
from app.streams.measures import StreamMeasures
from app.telemetry.loop_health import LoopHealth
from app.telemetry.metrics import collectors
from app.telemetry.sources import Sources
from app.web.events.measures import ViewerMeasures
from tests.support.recorder import Recorder


class Reading(msgspec.Struct, kw_only=True):
    """What the registry's `statistics()` looks like to the metrics."""

    active: int = 0
    limit: int = 0
    queued: int = 0
    zombies: int = 0
    viewers: int = 0
    log_bytes: int = 0
    started: int = 0
    tokens: int = 0
    ended: dict[str, int] = {}
    lines: list[LineState] = []
    line_waits: Histograms = msgspec.field(default_factory=lambda: Histograms(WAITS))
    measures: StreamMeasures = msgspec.field(default_factory=StreamMeasures)


def everything() -> CollectorRegistry:
    """All metrics of a server in which nothing has happened."""
    loop = LoopHealth(logger=Recorder())
    reading = Reading(lines=[LineState("server", 4, 0, 0)])
    reading.line_waits.observe(0.0, "server")
    node = NodeFigures(
        node="n1",
        owned=0,
        peers=0,
        redis=True,
        lag=0,
        takeovers=0,
        interrupted=0,
        losses=0,
        fenced=0,
        repaired=0,
        detached=0,
        passed_on=0,
        round_trips=Histogram(QUICK),
    )
    return collectors(Sources(lambda: reading, ViewerMeasures(), HistoryLoad, list, loop, lambda: node))
