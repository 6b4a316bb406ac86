"""What viewers are measured by: how far they are behind their logs, and how often they had to start over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from app.measures import Histogram

BEHIND = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # s


class HasLag(Protocol):
    """A viewer of session logs."""

    @property
    def lag(self) -> int:
        """The number of events that it has not been sent."""


class Lag(NamedTuple):
    """The viewers that are behind at this moment."""

    viewers: int
    most: int  # events that the slowest of them has not been sent


class ViewerMeasures:
    """The measures of all viewers of a server. Their lag is read when it is asked for: nothing is kept per event."""

    def __init__(self) -> None:
        self.resets: Counter[str] = Counter()  # by `ResetReason`
        self.behind = Histogram(
            BEHIND
        )  # s, from a full transport buffer until the viewer had caught up or left
        self._viewers: set[HasLag] = set()

    def __repr__(self) -> str:
        return f"<ViewerMeasures viewers={len(self._viewers)} resets={self.resets.total()}>"

    @contextmanager
    def viewing(self, viewer: HasLag) -> Iterator[None]:
        """Include a viewer in `lag` for the duration of the block."""
        self._viewers.add(viewer)
        try:
            yield
        finally:
            self._viewers.discard(viewer)

    def lag(self) -> Lag:
        """Return how many viewers are behind, and how far."""
        lags = [lag for viewer in self._viewers if (lag := viewer.lag) > 0]
        return Lag(len(lags), max(lags, default=0))
