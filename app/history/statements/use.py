"""What an owner uses at once on all nodes of a cluster, counted in the transaction that stores a prompt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, text

from app.chat.errors import Limited
from app.chat.quotas import PROMPT_SECONDS, UseLimits, too_many_prompts, too_many_running
from app.chat.records import Exchange
from app.history.statements.tables import sessions, streams

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:owner, 7))")
_OF_OWNER = streams.join(sessions, sessions.c.session_id == streams.c.session_id)


def lock_owners(connection: Connection, owners: Iterable[str]) -> None:
    """Let no other node count for these owners until the transaction ends."""
    for owner in sorted(set(owners)):
        connection.execute(_LOCK, {"owner": owner})


def use_refusal(connection: Connection, exchange: Exchange, limits: UseLimits) -> Limited | None:
    """Return the error if the owner may not send another prompt now."""
    if limits.owner_prompts_per_minute is not None:
        now = datetime.fromisoformat(exchange.created_at)
        since = (now - timedelta(seconds=PROMPT_SECONDS)).isoformat(timespec="milliseconds")
        sent, oldest = connection.execute(
            select(func.count(), func.min(streams.c.created_at))
            .select_from(_OF_OWNER)
            .where(
                sessions.c.owner == exchange.owner,
                sessions.c.updated_at > since,  # a prompt sets it, so older sessions have none
                streams.c.created_at > since,
            )
        ).one()
        if sent >= limits.owner_prompts_per_minute:
            wait = PROMPT_SECONDS - (now - datetime.fromisoformat(oldest)).total_seconds()
            return too_many_prompts(limits.owner_prompts_per_minute, wait)
    if limits.owner_streams is not None:
        running = connection.scalar(
            select(func.count(streams.c.session_id.distinct()))
            .select_from(_OF_OWNER)
            .where(
                sessions.c.owner == exchange.owner,
                streams.c.outcome.is_(None),
                streams.c.session_id != exchange.session_id,
            )
        )
        if running is not None and running >= limits.owner_streams:
            return too_many_running(running, limits.owner_streams, PROMPT_SECONDS / max(1, running))
    return None
