"""The contents of the operations page, gathered at one moment. No text of a chat is among them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from app.chat.notes import in_line
from app.chat.ports import BackendHealth
from app.chat.records import HistoryLoad
from app.chat.scoped_ids import LOCAL, MOST_CHARACTERS, bare, owner_of
from app.streams.overview import Overview
from app.web.app_keys import CATALOG, HISTORY, OWNER, REGISTRY, VIEWERS
from app.web.events.measures import Lag
from app.web.i18n import translations
from app.web.i18n.error_texts import marked, said

# The name of each state and outcome.
STATES = {
    "queued": marked("Waiting"),
    "thinking": marked("Thinking"),
    "streaming": marked("Answering"),
    "ending": marked("Stopping"),
    "complete": marked("Complete"),
    "stopped": marked("Stopped"),
    "superseded": marked("Replaced"),
    "abandoned": marked("No viewers"),
    "failed": marked("Failed"),
    "interrupted": marked("Interrupted"),
}


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


def _has_owners(board: Board, reader: str) -> bool:
    """Return whether to show whose a chat is: not where everybody is the same owner."""
    shown = [
        *(stream.session_id for stream in board.overview.live),
        *(end.state.session_id for end in board.overview.ended),
    ]
    return board.owner is not None or reader != LOCAL or any(owner_of(chat) != LOCAL for chat in shown)


def _query(parameters: Mapping[str, str]) -> str:
    """Return the query of an address with its question mark, or nothing."""
    return f"?{urlencode(parameters)}" if parameters else ""


def context(request: web.Request) -> dict[str, Any]:
    """Return the variables of the template, for a reader: in its language, with links to its own chats."""
    language = translations.of(request)
    board = read(request.app, asked_owner(request))
    return {
        "board": board,
        "reader": request[OWNER],
        "has_owners": _has_owners(board, request[OWNER]),
        "owner_of": owner_of,
        "bare": bare,
        "query": _query,
        "reasons": {
            health.backend: said(language, health.failure.code, health.failure.message)
            for health in board.backends
            if health.failure is not None
        },
        "in_line": in_line,
        "states": {state: language.sentences.gettext(name) for state, name in STATES.items()},
        "clock": lambda seconds: datetime.fromtimestamp(seconds, UTC),
    }
