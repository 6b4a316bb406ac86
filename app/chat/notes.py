"""What a status says of a stream that waits for its model server."""

from __future__ import annotations

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def in_line(place: int) -> str:
    """Return the place in line as a short note, such as `3rd in line`."""
    ending = "th" if place // 10 % 10 == 1 else _ENDINGS.get(place % 10, "th")
    return f"{place}{ending} in line"
