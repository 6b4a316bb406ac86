"""The nodes and leases of a cluster in PostgreSQL: `Leases` of `app.cluster.ports`.

Each call is one statement in a transaction of its own, so one round trip. All times are PostgreSQL's clock. The
connections are apart from those of the history: a node must not expire because its searches take long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from app.chat.errors import HistoryUnavailable
from app.cluster.ports import Lease, Node
from app.history.database import PATIENCE, cause
from app.history.fence import Fence

CONNECTIONS = 4
STATEMENT_SECONDS = 2.0
CLOSE_SECONDS = 1.0
ATTEMPTS = 5  # while others take and release the same session in between
_TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)  # a timeout is an OSError

_JOIN = """
INSERT INTO nodes (node_id, url, expires_at)
  VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 second')
  ON CONFLICT (node_id) DO UPDATE SET url = excluded.url, expires_at = excluded.expires_at
"""
# What nobody can need any more: released leases of sessions that are gone, once their log has expired, too; then the
# expired nodes without leases.
_SWEEP = """
WITH gone AS (
  DELETE FROM leases WHERE node_id IS NULL AND changed_at < clock_timestamp() - interval '1 day'
    AND NOT EXISTS (SELECT FROM sessions WHERE sessions.session_id = leases.session_id)
)
DELETE FROM nodes WHERE expires_at < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT FROM leases WHERE leases.node_id = nodes.node_id)
"""
_RENEW = """
WITH before AS (SELECT expires_at > clock_timestamp() AS alive FROM nodes WHERE node_id = $1 FOR UPDATE),
renewed AS (
  INSERT INTO nodes (node_id, url, expires_at)
    SELECT $1, $2, clock_timestamp() + $3::float8 * interval '1 second' FROM (SELECT count(*) FROM before) AS first
    ON CONFLICT (node_id) DO UPDATE SET expires_at = excluded.expires_at
)
SELECT coalesce((SELECT alive FROM before), false)
"""
_LEAVE = "UPDATE nodes SET expires_at = clock_timestamp() WHERE node_id = $1"
_NODES = "SELECT node_id, url FROM nodes WHERE expires_at > clock_timestamp() ORDER BY node_id"
_LEASE = """
  SELECT leases.session_id, leases.node_id, coalesce(nodes.url, ''), leases.epoch,
    coalesce(nodes.expires_at > clock_timestamp(), false) AS alive
  FROM leases LEFT JOIN nodes ON nodes.node_id = leases.node_id
"""
_FIND = f"{_LEASE} WHERE leases.session_id = $1 AND leases.node_id IS NOT NULL"
# Writes only if the lease can be taken. The condition of the update sees the newest row and locks the row of its
# node, so an expired node that renews itself either lives before, or learns from `lost` that it lost this lease.
_ACQUIRE = f"""
WITH found AS ({_LEASE} WHERE leases.session_id = $1),
taken AS (
  INSERT INTO leases (session_id, node_id, epoch, changed_at)
    SELECT $1, $2, 1, clock_timestamp()
    WHERE NOT EXISTS (
      SELECT FROM found WHERE node_id = $2 OR (alive AND epoch IS DISTINCT FROM $3::bigint)
    )
    ON CONFLICT (session_id) DO UPDATE
      SET node_id = excluded.node_id, epoch = leases.epoch + 1, changed_at = excluded.changed_at
      WHERE leases.node_id IS NULL
        OR (leases.node_id <> excluded.node_id AND (
          leases.epoch = $3::bigint
          OR coalesce(
            (SELECT expires_at FROM nodes WHERE nodes.node_id = leases.node_id FOR SHARE) <= clock_timestamp(), true
          )
        ))
    RETURNING session_id, node_id, epoch
)
SELECT session_id, node_id, coalesce((SELECT url FROM nodes WHERE node_id = $2), ''), epoch,
    coalesce((SELECT expires_at > clock_timestamp() FROM nodes WHERE node_id = $2), false)
  FROM taken
UNION ALL
SELECT * FROM found WHERE NOT EXISTS (SELECT FROM taken)
"""  # noqa: S608 - of constants alone
_RELEASE = """
UPDATE leases SET node_id = NULL, changed_at = clock_timestamp()
  WHERE session_id = $1 AND node_id = $2 AND epoch = $3
"""
_LOST = """
SELECT mine.session_id FROM unnest($2::text[], $3::bigint[]) AS mine (session_id, epoch)
  WHERE NOT EXISTS (
    SELECT FROM leases WHERE leases.session_id = mine.session_id AND leases.node_id = $1
      AND leases.epoch = mine.epoch
  )
"""
_ORPHANS = f"""
{_LEASE} WHERE leases.node_id IS NOT NULL AND (nodes.node_id IS NULL OR nodes.expires_at <= clock_timestamp())
  ORDER BY leases.changed_at LIMIT $1
"""


class _Connection(asyncpg.Connection):
    """A connection that leaves no state behind, so nothing is asked of the server when it is given back."""

    def get_reset_query(self) -> str:
        return ""


class PostgresLeases:
    """`Leases` on PostgreSQL. Created by the context manager `opened`."""

    def __init__(self, pool: Any, fence: Fence) -> None:
        self._pool = pool
        self._fence = fence
        self._node: Node | None = None
        self._ttl = 0.0

    def __repr__(self) -> str:
        return f"<PostgresLeases {self._node} {self._fence!r}>"

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, fence: Fence) -> AsyncIterator[PostgresLeases]:
        """Use the history's database, which has been migrated, for the duration of the block.

        `fence` is that of the history: it learns of every lease. Raises `HistoryUnavailable`.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=CONNECTIONS,
                timeout=PATIENCE,
                command_timeout=STATEMENT_SECONDS,
                connection_class=_Connection,
            )
        except _TROUBLE as error:
            raise _unavailable(error) from error
        try:
            yield cls(pool, fence)
        finally:
            with suppress(*_TROUBLE):
                pool.terminate()

    async def join(self, node: Node, ttl: float) -> None:
        """See `Leases`."""
        self._node, self._ttl = node, ttl
        self._fence.node_id = node.id
        await self._fetch(_JOIN, node.id, node.url, ttl)
        await self._fetch(_SWEEP)

    async def renew(self) -> bool:
        """See `Leases`."""
        [[was_alive]] = await self._fetch(_RENEW, *self._own, self._ttl)
        return bool(was_alive)

    async def leave(self) -> None:
        """See `Leases`."""
        await self._fetch(_LEAVE, self._own.id)

    async def nodes(self) -> list[Node]:
        """See `Leases`."""
        return [Node(*row) for row in await self._fetch(_NODES)]

    async def find(self, session: str) -> Lease | None:
        """See `Leases`."""
        rows = await self._fetch(_FIND, session)
        return _lease(rows[0]) if rows else None

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        """See `Leases`."""
        for _ in range(ATTEMPTS):
            for row in await self._fetch(_ACQUIRE, session, self._own.id, over):
                if row[1] is None:
                    continue  # released when the statement began, but others were faster
                lease = _lease(row)
                if lease.node.id == self._own.id:
                    self._fence.hold(lease)
                    return lease
                if lease.alive and lease.epoch != over:
                    return lease
        raise HistoryUnavailable("This chat is changing servers too fast. Try again in a moment.")

    async def release(self, lease: Lease) -> None:
        """See `Leases`."""
        self._fence.drop(lease.session, lease.epoch)
        await self._fetch(_RELEASE, lease.session, self._own.id, lease.epoch)

    async def lost(self, mine: Mapping[str, int]) -> set[str]:
        """See `Leases`."""
        rows = await self._fetch(_LOST, self._own.id, list(mine), list(mine.values()))
        lost = {str(row[0]) for row in rows}
        for session in lost:
            self._fence.drop(session, mine[session])
        return lost

    async def orphans(self, limit: int) -> list[Lease]:
        """See `Leases`."""
        return [_lease(row) for row in await self._fetch(_ORPHANS, limit)]

    @property
    def _own(self) -> Node:
        if self._node is None:
            raise RuntimeError("join first")
        return self._node

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        try:
            async with self._pool.acquire(timeout=PATIENCE) as connection:
                return list(await connection.fetch(statement, *values))
        except _TROUBLE as error:
            raise _unavailable(error) from error


def _lease(row: Any) -> Lease:
    session, node_id, url, epoch, alive = row
    return Lease(session, Node(node_id, url), epoch, alive)


def _unavailable(error: Exception) -> HistoryUnavailable:
    return HistoryUnavailable(f"PostgreSQL isn't responding: {cause(error)}. Try again in a moment.")
