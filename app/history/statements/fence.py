"""The statements that check leases in the transaction of a write. Only a cluster runs them, so only on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from app.history.statements.tables import streams

_LOCKED = "SELECT session_id, node_id, epoch FROM leases WHERE session_id = ANY($1) FOR SHARE"


def locked_leases(connection: Connection, session_ids: Collection[str]) -> dict[str, tuple[str | None, int]]:
    """Return owner and epoch of these sessions. Nobody can take them until the transaction ends."""
    found = connection.exec_driver_sql(_LOCKED, (list(session_ids),))
    return {session_id: (node_id, epoch) for session_id, node_id, epoch in found}


def sessions_of(connection: Connection, stream_ids: Collection[str]) -> dict[str, str]:
    """Return the sessions of streams; those that are not stored are left out."""
    found = connection.execute(
        select(streams.c.stream_id, streams.c.session_id).where(streams.c.stream_id.in_(stream_ids))
    )
    return {str(row.stream_id): str(row.session_id) for row in found}
