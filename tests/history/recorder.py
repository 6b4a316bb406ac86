"""A logger that remembers what it was told."""

from __future__ import annotations

from typing import Any


class Recorder:
    """See `Logger`."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    @property
    def events(self) -> list[str]:
        """The names of the events, in their order."""
        return [event for event, _ in self.lines]

    def debug(self, event: str, /, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = warning = error = debug
