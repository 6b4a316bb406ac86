"""A reading of statistics for tests."""

from __future__ import annotations

import msgspec


class Reading(msgspec.Struct, frozen=True):
    """What the registry's `statistics()` looks like to the metrics."""

    active: int = 0
    queued: int = 0
    zombies: int = 0
    viewers: int = 0
    started: int = 0
    tokens: int = 0
    ended: dict[str, int] = {}
