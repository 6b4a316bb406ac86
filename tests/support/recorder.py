"""A logger that remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One line of the log."""

    event: str
    fields: dict[str, Any]


class Recorder:
    """A `Logger` that keeps its lines, and tells of each. What is bound to one with more fields is kept here, too."""

    def __init__(self, root: Recorder | None = None, **bound: Any) -> None:
        self.lines: list[Line] = [] if root is None else root.lines
        self.told: Callable[[Line], None] = lambda line: None if root is None else root.told(line)
        self._bound = bound

    def __repr__(self) -> str:
        return f"<Recorder lines={len(self.lines)}>"

    @property
    def events(self) -> list[str]:
        """The names of the events, in their order."""
        return [line.event for line in self.lines]

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The latest fields of each event."""
        return dict(self.lines)

    def bind(self, **fields: Any) -> Recorder:
        """See `Logger`."""
        return Recorder(self, **{**self._bound, **fields})

    def debug(self, event: str, /, **fields: Any) -> None:
        """See `Logger`."""
        line = Line(event, {**self._bound, **fields})
        self.lines.append(line)
        self.told(line)

    info = warning = error = debug

    def said(self, event: str, trace: str) -> bool:
        """Tell whether a line was written about a stream."""
        return any(line.event == event and line.fields.get("trace") == trace for line in self.lines)
