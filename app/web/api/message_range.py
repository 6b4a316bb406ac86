"""Reads the part of a branch that a request asks for."""

from __future__ import annotations

from aiohttp import web

from app.chat.message_range import (
    CHARACTERS,
    MESSAGES,
    MOST_CHARACTERS,
    MOST_MESSAGES,
    WHOLE,
    MessageRange,
    bounds,
)

__all__ = [
    "CHARACTERS",
    "MESSAGES",
    "MOST_CHARACTERS",
    "MOST_MESSAGES",
    "WHOLE",
    "MessageRange",
    "asked",
    "bounds",
]


def asked(request: web.Request) -> MessageRange:
    """Return the part requested by `?from=`, `?before=` and `?all=1`."""
    query = request.query
    return MessageRange(query.get("from"), query.get("before"), query.get("all") == "1")
