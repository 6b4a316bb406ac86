"""The contents of the operations page, gathered at one moment. No text of a chat is among them."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web

from app.chat.ports import BackendHealth
from app.chat.records import HistoryLoad
from app.chat.scoped_ids import MOST_CHARACTERS
from app.streams.overview import Overview
from app.web.app_keys import CATALOG, HISTORY, REGISTRY, VIEWERS
from app.web.events.measures import Lag


class Board(NamedTuple):
    """One reading of the server: of the streams of one owner, or of all."""

    owner: str | None
    overview: Overview
    lag: Lag
    history: HistoryLoad
    backends: list[BackendHealth]


def asked_owner(request: web.Request) -> str | None:
    """Return the owner whose streams are asked for (`?owner=`), or `None` for those of all."""
    return request.query.get("owner", "").strip()[:MOST_CHARACTERS] or None


def read(app: web.Application, owner: str | None) -> Board:
    """Read everything now. Model servers that were not asked for a while are asked in the background."""
    registry = app[REGISTRY]
    return Board(
        owner=owner,
        overview=registry.overview(owner),
        lag=app[VIEWERS].lag(),
        history=app[HISTORY].load(),
        backends=app[CATALOG].health(),
    )
