"""Prometheus metrics, read from the registry's statistics when they are scraped: a token costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.telemetry.logging import LineWriter
from app.telemetry.loop_health import LoopHealth


class Statistics(Protocol):
    """What the metrics need to know of the registry. Gauges tell now; counters count since the start."""

    @property
    def active(self) -> int:
        """Streams thinking or streaming."""

    @property
    def queued(self) -> int:
        """Streams that wait for a predecessor."""

    @property
    def zombies(self) -> int:
        """Streams that were fenced and still have not ended."""

    @property
    def viewers(self) -> int:
        """Open SSE responses."""

    @property
    def started(self) -> int:
        """Streams registered."""

    @property
    def tokens(self) -> int:
        """Tokens received from models."""

    @property
    def ended(self) -> Mapping[str, int]:
        """Streams ended, by outcome."""


class StreamCollector(Collector):
    """Turns a reading of the statistics into metric families."""

    def __init__(self, read: Callable[[], Statistics]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Name nothing in advance: the registry then reads no statistics while it is set up."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        now = self._read()
        yield GaugeMetricFamily("tailrace_streams_active", "Streams thinking or streaming.", now.active)
        yield GaugeMetricFamily("tailrace_streams_queued", "Streams waiting for a predecessor.", now.queued)
        yield GaugeMetricFamily(
            "tailrace_streams_zombie", "Fenced streams that have not ended yet.", now.zombies
        )
        yield GaugeMetricFamily("tailrace_viewers", "Open event streams.", now.viewers)
        yield CounterMetricFamily("tailrace_streams_started", "Streams registered.", now.started)
        yield CounterMetricFamily("tailrace_tokens", "Tokens received from models.", now.tokens)
        ended = CounterMetricFamily(
            "tailrace_streams_ended", "Streams ended, by outcome.", labels=["outcome"]
        )
        for outcome, count in sorted(now.ended.items()):
            ended.add_metric([outcome], count)
        yield ended
        yield CounterMetricFamily(
            "tailrace_log_lines_lost", "Log lines that could not be written.", LineWriter.lost
        )


class LoopCollector(Collector):
    """Tells how long the event loop was blocked."""

    def __init__(self, health: LoopHealth) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        health = self._health
        yield CounterMetricFamily(
            "tailrace_loop_blocked_seconds", "Time that the event loop was blocked.", health.blocked
        )
        yield CounterMetricFamily("tailrace_loop_blocks", "How often it was blocked.", health.blocks)
        yield GaugeMetricFamily(
            "tailrace_loop_blocked_worst_seconds", "The longest block since the start.", health.worst
        )


def collectors(read: Callable[[], Statistics], health: LoopHealth | None = None) -> CollectorRegistry:
    """Return a registry with the metrics of the streams, the loop and the process. A scrape calls `read` once."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StreamCollector(read))
    if health is not None:
        registry.register(LoopCollector(health))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry)
