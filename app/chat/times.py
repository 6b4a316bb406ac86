"""Times as they are stored and sent."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Return the current time as RFC 3339, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
