"""What the metrics are read from: the figures that the parts of the server keep of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from app.chat.ports import BackendHealth
from app.chat.records import HistoryLoad
from app.measures import Histogram, Histograms
from app.streams.counters import LineState
from app.streams.measures import StreamMeasures
from app.telemetry.loop_health import LoopHealth


class Statistics(Protocol):
    """The statistics that the metrics read. Counters run from the start of the process."""

    @property
    def active(self) -> int:
        """Gauge: sessions with a running stream."""

    @property
    def limit(self) -> int:
        """Gauge: the maximum of `active`."""

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
    def log_bytes(self) -> int:
        """Gauge: size of all session logs."""

    @property
    def started(self) -> int:
        """Counter: streams whose `start` is in the log."""

    @property
    def tokens(self) -> int:
        """Counter: pieces of answers, counted when their stream ends."""

    @property
    def ended(self) -> Mapping[str, int]:
        """Counter: ended streams by outcome."""

    @property
    def lines(self) -> Sequence[LineState]:
        """The lines in front of model servers."""

    @property
    def line_waits(self) -> Histograms:
        """Time in line in seconds, by model server."""

    @property
    def measures(self) -> StreamMeasures:
        """What the ends of streams are measured by."""


class ViewerFigures(Protocol):
    """The figures of viewers that the metrics read."""

    @property
    def resets(self) -> Mapping[str, int]:
        """Counter: resets by reason."""

    @property
    def behind(self) -> Histogram:
        """How long viewers were behind, in seconds."""

    def lag(self) -> tuple[int, int]:
        """Return how many viewers are behind now, and by how many events at most."""


class ClusterFigures(Protocol):
    """The figures of a node that the metrics read. Counters run from its start."""

    @property
    def owned(self) -> int:
        """Gauge: sessions that this node owns."""

    @property
    def peers(self) -> int:
        """Gauge: other nodes that are alive."""

    @property
    def redis(self) -> bool:
        """Gauge: whether Redis responds."""

    @property
    def lag(self) -> int:
        """Gauge: events that are written and not shown, because Redis has not acknowledged them."""

    @property
    def takeovers(self) -> int:
        """Counter: sessions taken from another node by force, or with unfinished answers."""

    @property
    def interrupted(self) -> int:
        """Counter: answers that were ended for another node."""

    @property
    def losses(self) -> int:
        """Counter: sessions that another node took."""

    @property
    def fenced(self) -> int:
        """Counter: logs that another owner has fenced off."""

    @property
    def repaired(self) -> int:
        """Counter: events that Redis had lost, and got again."""

    @property
    def detached(self) -> int:
        """Counter: times that a log was shown without an acknowledgement of Redis."""

    @property
    def passed_on(self) -> int:
        """Counter: requests passed on to the nodes that own their sessions."""

    @property
    def round_trips(self) -> Histogram:
        """Time of a command to Redis, in seconds."""


class Sources(NamedTuple):
    """What the metrics are read from, once per scrape. What is `None` is left out."""

    statistics: Callable[[], Statistics]
    viewers: ViewerFigures | None = None
    history: Callable[[], HistoryLoad] | None = None
    backends: Callable[[], Sequence[BackendHealth]] | None = None
    loop: LoopHealth | None = None
    cluster: Callable[[], ClusterFigures] | None = None  # on a node of a cluster
