"""What the template of the operations page is given: the contents, in the words of the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from app.chat.notes import in_line
from app.chat.scoped_ids import LOCAL, bare, owner_of
from app.cluster.cluster import (
    ANOTHER_CLUSTERS_REDIS,
    LEAVING,
    NO_POSTGRES,
    NO_REDIS,
    NOT_ALL_OF_REDIS,
    NOT_AT_ITS_ADDRESS,
    NOT_JOINED,
)
from app.web.app_keys import OWNER
from app.web.i18n import translations
from app.web.i18n.error_texts import marked, said
from app.web.i18n.translations import Language
from app.web.ops.as_json import as_json
from app.web.ops.board import Board
from app.web.ops.merged import View, view
from app.web.ops.reading import Figures, Reading, Silent

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

# Why a node of a cluster is not ready.
TROUBLE = {
    NO_REDIS: marked("Redis isn't responding, so no new messages can be answered."),
    NOT_ALL_OF_REDIS: marked(
        "A part of Redis isn't responding, so new messages in some chats can't be answered."
    ),
    ANOTHER_CLUSTERS_REDIS: marked(
        "Its Redis database belongs to another cluster now, so chats of both may get mixed up."
    ),
    NOT_AT_ITS_ADDRESS: marked(
        "It doesn't answer at its own TAILRACE_NODE_URL, so other nodes may not reach it."
    ),
    NO_POSTGRES: marked("PostgreSQL isn't responding, so this node isn't sure of its chats."),
    NOT_JOINED: marked("It hasn't joined the cluster yet."),
    LEAVING: marked("It is leaving the cluster."),
}
# Why a node of a cluster said nothing.
SILENCE = {
    "pending": marked("No answer yet."),
    "timeout": marked("It doesn't answer in time."),
    "lost": marked("The connection failed."),
    "unbelieved": marked("It doesn't accept this node's requests. Check that both use the same database."),
    "unreadable": marked("It gave an unreadable answer. Compare their versions."),
    "expired": marked("It has stopped renewing itself. Other nodes take over its chats."),
}


def _has_owners(board: Board, shown: View, reader: str) -> bool:
    """Return whether to show whose a chat is: not where everybody is the same owner."""
    return board.owner is not None or reader != LOCAL or any(owner_of(chat) != LOCAL for chat in shown.chats)


class NodeRow(NamedTuple):
    """How a node is: in one word, as a kind of state that has a colour, and in sentences."""

    word: str
    kind: str
    sentences: list[str]
    since: float | None  # POSIX time
    figures: Figures | None  # `None`: it did not say


def _node_row(node: Reading | Silent, language: Language) -> NodeRow:
    text = language.sentences.gettext
    if isinstance(node, Silent):
        sentence = text(SILENCE.get(node.reason, node.reason))
        if node.reason == "pending":
            return NodeRow(text(marked("Unknown")), "queued", [sentence], node.since, None)
        word = marked("Down") if node.reason == "expired" else marked("Unreachable")
        return NodeRow(text(word), "failed", [sentence], node.since, None)
    told = node.node.trouble if node.node is not None else []
    sentences = [text(TROUBLE.get(each, each)) for each in told]
    if not node.history.writable:
        sentences.append(text(marked("Changes can't be written to the database.")))
    if LEAVING in told or node.draining:
        return NodeRow(text(marked("Shutting down")), "queued", sentences, None, node.statistics)
    if sentences:
        return NodeRow(text(marked("Not ready")), "failed", sentences, None, node.statistics)
    return NodeRow(text(marked("Ready")), "complete", [], None, node.statistics)


def _query(parameters: Mapping[str, str]) -> str:
    """Return the query of an address with its question mark, or nothing."""
    return f"?{urlencode(parameters)}" if parameters else ""


def context(request: web.Request, board: Board, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the template, for a reader: in its language, with links to its own chats.

    `cluster` is what a node of a cluster adds to the JSON.
    """
    language = translations.of(request)
    shown = view({**as_json(board), **cluster})
    return {
        "board": board,
        "view": shown,
        "reader": request[OWNER],
        "has_owners": _has_owners(board, shown, request[OWNER]),
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
        "node_row": lambda node: _node_row(node, language),
        "clock": lambda seconds: datetime.fromtimestamp(seconds, UTC),
    }
