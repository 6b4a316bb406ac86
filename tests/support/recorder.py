"""A logger that remembers."""

from __future__ import annotations

from typing import Any


class Recorder:
    """A `Logger` for tests: the names of all events, and the latest fields of each."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.fields: dict[str, dict[str, Any]] = {}

    def _log(self, event: str, /, **fields: Any) -> None:
        self.events.append(event)
        self.fields[event] = fields

    debug = info = warning = error = _log
