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
from app.chat.storable import storable

__all__ = [
    "CHARACTERS",
    "MESSAGES",
    "MOST_CHARACTERS",
    "MOST_MESSAGES",
    "WHOLE",
    "MessageRange",
    "asked",
    "bounds",
    "branch",
]


def asked(request: web.Request) -> MessageRange:
    """Return the part requested by `?from=`, `?before=` and `?all=1`."""
    return MessageRange(_id(request, "from"), _id(request, "before"), request.query.get("all") == "1")


def branch(request: web.Request) -> str | None:
    """Return the message whose branch is requested by `?branch=`."""
    return _id(request, "branch")


def _id(request: web.Request, name: str) -> str | None:
    """Return an id as a database can be asked for it: any other is none either."""
    value = request.query.get(name)
    return None if value is None else storable(value)
