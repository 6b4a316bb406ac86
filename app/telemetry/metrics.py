"""Prometheus metrics. They are read from the server's own figures at each scrape, so they cost nothing per token.

Names that OpenTelemetry's semantic conventions for generative AI define are used as they are, in Prometheus' spelling:
`gen_ai.server.time_to_first_token` is `gen_ai_server_time_to_first_token_seconds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.chat.ports import BackendHealth
from app.chat.records import HistoryLoad
from app.measures import Histogram, Histograms
from app.streams.measures import StreamMeasures
from app.telemetry.logging import LineWriter
from app.telemetry.loop_health import LoopHealth
from app.telemetry.sources import ClusterFigures, Sources, Statistics, ViewerFigures

CHAT = "chat"  # gen_ai.operation.name
MODEL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Exported(Collector):
    """Exports the figures of the sources. Each scrape reads each source once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        sources = self._sources
        yield from _streams(sources.statistics())
        if sources.viewers is not None:
            yield from _viewers(sources.viewers)
        if sources.history is not None:
            yield from _history(sources.history())
        if sources.backends is not None:
            yield from _backends(sources.backends())
        if sources.loop is not None:
            yield from _loop(sources.loop)
        if sources.cluster is not None:
            yield from _node(sources.cluster())


def _streams(now: Statistics) -> Iterator[Metric]:
    """Convert the statistics of streams."""
    yield GaugeMetricFamily("tailrace_streams_active", "Streams thinking or streaming.", now.active)
    yield GaugeMetricFamily("tailrace_streams_limit", "Maximum of active streams.", now.limit)
    yield GaugeMetricFamily("tailrace_streams_queued", "Streams waiting for a predecessor.", now.queued)
    yield GaugeMetricFamily("tailrace_streams_zombie", "Fenced streams that have not ended yet.", now.zombies)
    yield GaugeMetricFamily("tailrace_viewers", "Open event streams.", now.viewers)
    yield GaugeMetricFamily("tailrace_log_bytes", "Size of all session logs.", now.log_bytes)
    yield CounterMetricFamily("tailrace_streams_started", "Streams registered.", now.started)
    yield CounterMetricFamily("tailrace_tokens", "Tokens received from models.", now.tokens)
    yield _counter("tailrace_streams_ended", "Streams ended, by outcome.", ["outcome"], now.ended)
    yield CounterMetricFamily(
        "tailrace_log_lines_lost", "Log lines that could not be written.", LineWriter.lost
    )
    yield from _lines(now)
    yield from _measured(now.measures)


def _lines(now: Statistics) -> Iterator[Metric]:
    """Convert the lines in front of model servers with a limited number of answers."""
    waiting = GaugeMetricFamily(
        "tailrace_line_waiting", "Streams in line for a model server.", labels=["backend"]
    )
    slots = GaugeMetricFamily("tailrace_line_slots", "Answers that it gives at once.", labels=["backend"])
    used = GaugeMetricFamily("tailrace_line_slots_used", "Slots in use.", labels=["backend"])
    for line in now.lines:
        waiting.add_metric([line.backend], line.waiting)
        slots.add_metric([line.backend], line.slots)
        used.add_metric([line.backend], line.served)
    yield from (waiting, slots, used)
    waits = HistogramMetricFamily("tailrace_line_wait_seconds", "Time in line.", labels=["backend"])
    for labels, histogram in now.line_waits:
        waits.add_metric(list(labels), histogram.cumulative(), histogram.total)
    yield waits


def _measured(measures: StreamMeasures) -> Iterator[Metric]:
    """Convert what the ends of streams are measured by."""
    yield _by_model(
        "gen_ai_server_time_to_first_token_seconds",
        "Time from the prompt to the first token, waits included.",
        measures.first_token,
    )
    yield _by_model(
        "gen_ai_server_request_duration_seconds",
        "Time from the prompt to the end of its answer.",
        measures.duration,
        "outcome",
        "error_type",
    )
    yield _by_model(
        "gen_ai_server_time_per_output_token_seconds",
        "Time per token after the first.",
        measures.per_token,
    )
    yield _by_model(
        "gen_ai_client_token_usage",
        "Tokens of prompts, where the model server reports them, and of answers.",
        measures.usage,
        "gen_ai_token_type",
    )
    yield _by_model("tailrace_tokens_per_second", "Tokens per second of an answer.", measures.rate)
    yield _histogram(
        "tailrace_supersede_wait_seconds",
        "Time from the signal to an answer to end until the next one could start.",
        measures.waited,
    )
    yield CounterMetricFamily(
        "tailrace_supersede_timeouts", "Answers that did not end within their bound.", measures.outlasted
    )
    yield _histogram(
        "tailrace_stop_to_upstream_closed_seconds",
        "Time from the signal to an answer to end until its model server's connection was closed.",
        measures.closed,
    )
    yield CounterMetricFamily(
        "tailrace_upstream_not_closed",
        "Ended answers whose connection was not confirmed closed.",
        measures.not_closed,
    )
    yield _counter(
        "tailrace_backend_errors",
        "Answers that failed, by model server and kind of error.",
        ["backend", "kind"],
        measures.errors,
    )


def _viewers(figures: ViewerFigures) -> Iterator[Metric]:
    """Convert the figures of viewers."""
    behind, most = figures.lag()
    yield GaugeMetricFamily("tailrace_viewers_behind", "Viewers that are behind their log.", behind)
    yield GaugeMetricFamily(
        "tailrace_viewer_lag_events", "Events that the slowest viewer has not been sent.", most
    )
    yield _histogram(
        "tailrace_viewer_lag_seconds",
        "Time that viewers were behind, from a full connection until they had caught up.",
        figures.behind,
    )
    yield _counter(
        "tailrace_resets",
        "Viewers that had to load a snapshot, by reason.",
        ["reason"],
        figures.resets,
    )


def _history(load: HistoryLoad) -> Iterator[Metric]:
    """Convert how far the history is behind, and how long its transactions take."""
    yield GaugeMetricFamily(
        "tailrace_history_backlog_changes", "Changes waiting to be written.", load.changes
    )
    yield GaugeMetricFamily("tailrace_history_backlog_bytes", "Their size.", load.bytes)
    yield GaugeMetricFamily(
        "tailrace_history_available", "Whether the last attempt to write succeeded.", not load.failing
    )
    yield _histogram("tailrace_history_batch_seconds", "Time of a transaction.", load.batches)


def _backends(healths: Sequence[BackendHealth]) -> Iterator[Metric]:
    """Convert whether model servers respond."""
    up = GaugeMetricFamily(
        "tailrace_backend_up",
        "Whether the model server responds.",
        labels=["backend"],
    )
    models = GaugeMetricFamily(
        "tailrace_backend_models", "Models that the backend offers.", labels=["backend"]
    )
    for health in healths:
        if health.age is not None:
            up.add_metric([health.backend], health.available)
        models.add_metric([health.backend], health.models)
    yield up
    yield models


def _node(now: ClusterFigures) -> Iterator[Metric]:
    """Convert the figures of a node of a cluster."""
    yield GaugeMetricFamily("tailrace_node_sessions", "Sessions that this node owns.", now.owned)
    yield GaugeMetricFamily("tailrace_node_peers", "Other nodes that are alive.", now.peers)
    yield GaugeMetricFamily("tailrace_redis_up", "Whether Redis responds.", now.redis)
    yield GaugeMetricFamily(
        "tailrace_log_lag_events", "Events not shown yet: Redis has not acknowledged them.", now.lag
    )
    yield CounterMetricFamily(
        "tailrace_takeovers", "Sessions taken by force, or with unfinished answers.", now.takeovers
    )
    yield CounterMetricFamily(
        "tailrace_takeover_interrupted", "Answers ended for another node.", now.interrupted
    )
    yield CounterMetricFamily("tailrace_sessions_lost", "Sessions that another node took.", now.losses)
    yield CounterMetricFamily("tailrace_logs_fenced", "Logs that another owner fenced off.", now.fenced)
    yield CounterMetricFamily(
        "tailrace_log_repaired_events", "Events that Redis had lost, and got again.", now.repaired
    )
    yield CounterMetricFamily(
        "tailrace_logs_detached",
        "Times that a log was shown without Redis' acknowledgement.",
        now.detached,
    )
    yield CounterMetricFamily(
        "tailrace_requests_passed_on", "Requests passed on to owner nodes.", now.passed_on
    )
    yield _histogram("tailrace_redis_round_trip_seconds", "Time of a command to Redis.", now.round_trips)


def _loop(health: LoopHealth) -> Iterator[Metric]:
    """Convert how long the event loop was blocked."""
    yield CounterMetricFamily(
        "tailrace_loop_blocked_seconds", "Time that the event loop was blocked.", health.blocked
    )
    yield CounterMetricFamily("tailrace_loop_blocks", "How often it was blocked.", health.blocks)
    yield GaugeMetricFamily(
        "tailrace_loop_blocked_worst_seconds", "The longest block since the start.", health.worst
    )


def _counter(
    name: str,
    help_text: str,
    labels: Sequence[str],
    counts: Mapping[str, int] | Mapping[tuple[str, str], int],
) -> Metric:
    """Convert counts by the value, or values, of `labels`."""
    family = CounterMetricFamily(name, help_text, labels=labels)
    for key, count in sorted(counts.items()):
        family.add_metric([key] if isinstance(key, str) else list(key), count)
    return family


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, help_text, histogram.cumulative(), histogram.total)


def _by_model(name: str, help_text: str, histograms: Histograms, *more: str) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=[*MODEL, *more])
    for labels, histogram in histograms:
        family.add_metric([CHAT, *labels], histogram.cumulative(), histogram.total)
    return family


def collectors(sources: Sources) -> CollectorRegistry:
    """Return a registry with the metrics of the sources and of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exported(sources))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return the metrics in Prometheus text format."""
    return generate_latest(registry)
