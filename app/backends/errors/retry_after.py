"""Reads when a model server allows a retry (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST = 7 * 24 * 3600.0  # s; longer waits are not reported
IN_SECONDS, IN_MINUTES = 120, 7200  # s up to which a time is shown in seconds, or in minutes


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait before a retry, `None` if the server gives no valid time."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _sensible(milliseconds / 1000)
    said = headers.get("Retry-After", "").strip()
    seconds = _number(said.removesuffix("s"))
    return _sensible(seconds if seconds is not None else _until(said))


def wait_from_headers(seconds: float) -> str:
    """Format a duration for people, rounded up: `20 s`, `5 min`, `3 h`."""
    if seconds <= IN_SECONDS:
        return f"{_up(seconds, 1)} s"
    return f"{_up(seconds, 60)} min" if seconds <= IN_MINUTES else f"{_up(seconds, 3600)} h"


def _up(seconds: float, unit: int) -> int:
    return max(1, int(-(-seconds // unit)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _until(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def _sensible(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 < seconds <= LONGEST else None
