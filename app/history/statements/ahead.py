"""Reads short conversations in the transaction that admits a prompt: its model request needs them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from app.chat.records import Admission, Message
from app.history.statements.admit import Results
from app.history.statements.read import read_small
from app.history.write_queue.changes import Admit, Change

# Other prompts wait for the transaction, so it reads no more than takes about as long as it takes anyway.
MOST_SESSIONS = 8
MOST_MESSAGES = 100  # of one session
MOST_BYTES = 64 * 1024  # of the messages of one session


class Ahead(NamedTuple):
    """The messages of a session, oldest first, and its owner."""

    owner: str
    messages: list[Message]


def read_ahead(connection: Connection, changes: Sequence[Change], results: Results) -> dict[str, Ahead]:
    """Return the conversations that admitted prompts continue, by session. Call it after all changes.

    Long ones are left out, as are all of them if there are many.
    """
    owners = {
        change.exchange.session_id: change.exchange.owner
        for change, result in zip(changes, results, strict=True)
        if isinstance(change, Admit) and isinstance(result, Admission) and result.newest is not None
    }
    if len(owners) > MOST_SESSIONS:
        return {}
    try:
        return {
            session_id: Ahead(owner, messages)
            for session_id, owner in owners.items()
            if (messages := read_small(connection, session_id, MOST_MESSAGES, MOST_BYTES)) is not None
        }
    except ValueError:  # of a row that a newer release wrote: who needs it says so, the prompt is kept
        return {}
