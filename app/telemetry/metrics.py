"""Prometheus metrics. They are read from the registry's statistics at each scrape, so they cost nothing per token."""

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
    """The statistics that the metrics read. Counters run from the start of the process."""

    @property
    def active(self) -> int:
        """Gauge: sessions with a running stream."""

    @property
    def queued(self) -> int:
        """Gauge: streams queued behind another stream of their session."""

    @property
    def zombies(self) -> int:
        """Gauge: fenced streams whose producer has not ended yet."""

    @property
    def viewers(self) -> int:
        """Gauge: connected viewers."""

    @property
    def started(self) -> int:
        """Counter: streams whose `start` is in the log."""

    @property
    def tokens(self) -> int:
        """Counter: pieces of answers, counted when their stream ends."""

    @property
    def ended(self) -> Mapping[str, int]:
        """Counter: ended streams by outcome."""


class StreamCollector(Collector):
    """Converts the statistics to metric families."""

    def __init__(self, read: Callable[[], Statistics]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Return nothing, so that registration does not call `collect` and read the statistics."""
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
    """Exports how long the event loop was blocked."""

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
    """Return a registry with the metrics of streams, event loop and process. Each scrape calls `read` once."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StreamCollector(read))
    if health is not None:
        registry.register(LoopCollector(health))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return the metrics in Prometheus text format."""
    return generate_latest(registry)
