"""The nodes and leases of a cluster in PostgreSQL: `Leases` of `app.cluster.ports`.

Each call is one statement in a transaction of its own, so one round trip; only the release of dead nodes' leases takes
two statements. All times are PostgreSQL's clock. The connections are apart from those of the history: a node must not
expire because its searches take long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from app.chat.errors import HistoryUnavailable
from app.chat.states import Outcome
from app.cluster.ports import Expired, Lease, Node
from app.history.database import PATIENCE, cause
from app.history.fence import Fence
from app.history.postgres import LET_GO
from app.history.statements.tables import HIDDEN

CONNECTIONS = 4
STATEMENT_SECONDS = 2.0
CLOSE_SECONDS = 1.0
AT_ONCE = 2000  # leases of dead nodes that are released in a transaction
EXPIRED_SECONDS = 3600.0  # for which a node that has expired is told of
MOST_EXPIRED = 16
ATTEMPTS = 5  # while others take and release the same session in between
# A timeout is an OSError. The last one: no host is what `target_session_attrs` asks for, such as during a failover, or
# a connection ended while it was given back, which asyncpg notices in the middle of its next statement.
_TROUBLE = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_JOIN = """
INSERT INTO nodes (node_id, url, expires_at)
  VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 second')
  ON CONFLICT (node_id) DO UPDATE SET url = excluded.url, expires_at = excluded.expires_at
  RETURNING extract(epoch FROM clock_timestamp())::float8
"""
# What nobody can need any more: released leases of sessions that are gone, once their log has expired, too; then the
# expired nodes without leases. The greatest epoch that goes with a lease stays, as that of the session '', which is
# none: a session of the same id begins above it, so that an old cursor never fits it.
_SWEEP = """
WITH gone AS (
  DELETE FROM leases WHERE node_id IS NULL AND changed_at < clock_timestamp() - interval '1 day' AND session_id <> ''
    AND NOT EXISTS (SELECT FROM sessions WHERE sessions.session_id = leases.session_id)
    RETURNING epoch
),
greatest_of_them AS (
  INSERT INTO leases (session_id, node_id, epoch, changed_at)
    SELECT '', NULL, max(epoch), clock_timestamp() FROM gone HAVING count(*) > 0
    ON CONFLICT (session_id) DO UPDATE SET epoch = greatest(leases.epoch, excluded.epoch)
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
SELECT coalesce((SELECT alive FROM before), false), extract(epoch FROM clock_timestamp())::float8
"""
# Not the present: a node that has left is none that died.
_LEAVE = "UPDATE nodes SET expires_at = '-infinity' WHERE node_id = $1"
_NODES = "SELECT node_id, url FROM nodes WHERE expires_at > clock_timestamp() ORDER BY node_id"
# A node that was started anew, at the same address, replaces the one that crashed there.
_EXPIRED = """
SELECT node_id, url, extract(epoch FROM expires_at)::float8 FROM nodes AS gone
  WHERE expires_at <= clock_timestamp() AND expires_at > clock_timestamp() - $1::float8 * interval '1 second'
    AND NOT EXISTS (SELECT FROM nodes WHERE nodes.url = gone.url AND nodes.expires_at > gone.expires_at)
  ORDER BY node_id LIMIT $2
"""
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
    SELECT $1, $2, 1 + coalesce((SELECT epoch FROM leases WHERE session_id = ''), 0), clock_timestamp()
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
UPDATE leases SET node_id = $4, changed_at = clock_timestamp()
  WHERE session_id = $1 AND node_id = $2 AND epoch = $3
"""
_RELEASE_ALL = """
UPDATE leases SET node_id = NULL, changed_at = clock_timestamp()
  FROM unnest($2::text[], $3::bigint[]) AS given (session_id, epoch)
  WHERE leases.session_id = given.session_id AND leases.node_id = $1 AND leases.epoch = given.epoch
"""
_NOBODY = ""  # the node of a lease that was released unfinished: it is none, so it counts as expired
_MINE = f"{_LEASE} WHERE leases.node_id = $1"
_LOST = """
SELECT mine.session_id FROM unnest($2::text[], $3::bigint[]) AS mine (session_id, epoch)
  WHERE NOT EXISTS (
    SELECT FROM leases WHERE leases.session_id = mine.session_id AND leases.node_id = $1
      AND leases.epoch = mine.epoch
  )
"""
_RUNS = (
    "EXISTS (SELECT FROM streams WHERE streams.session_id = leases.session_id AND streams.outcome IS NULL)"
)
# An answer has to be ended, or may have to be continued, or the rest of a session has to be deleted.
_LEFT = f"""
  ({_RUNS}
    OR EXISTS (
      SELECT FROM streams WHERE streams.session_id = leases.session_id AND streams.outcome = '{Outcome.INTERRUPTED}'
    )
    OR EXISTS (
      SELECT FROM sessions WHERE sessions.session_id = leases.session_id AND sessions.owner = '{HIDDEN}'
    ))
"""  # noqa: S608 - of constants alone
_ORPHANS = f"""
WITH dead AS (
  SELECT leases.*, nodes.url, {_RUNS} AS runs, (nodes.node_id IS NULL OR {_LEFT}) AS is_left FROM leases
    LEFT JOIN nodes ON nodes.node_id = leases.node_id
    WHERE leases.node_id IS NOT NULL AND (nodes.node_id IS NULL OR nodes.expires_at <= clock_timestamp())
)
SELECT session_id, node_id, coalesce(url, ''), epoch, false AS alive, is_left FROM dead
  ORDER BY runs DESC, is_left DESC, changed_at LIMIT $1
"""  # noqa: S608 - of constants alone
# A node that is about to renew itself is left alone, and a session into which something is being written.
_LOCK_IDLE = f"""
SELECT leases.session_id FROM leases JOIN nodes ON nodes.node_id = leases.node_id
  WHERE nodes.expires_at <= clock_timestamp() AND NOT {_LEFT}
  LIMIT {AT_ONCE} FOR UPDATE OF leases SKIP LOCKED FOR SHARE OF nodes SKIP LOCKED
"""  # noqa: S608 - of constants alone
# Once they are locked nothing can be written into these sessions: so nothing is overlooked that came meanwhile.
_FREE_IDLE = f"""
UPDATE leases SET node_id = NULL, changed_at = clock_timestamp() WHERE session_id = ANY($1) AND NOT {_LEFT}
"""  # noqa: S608 - of constants alone


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
        self._told: tuple[float, float] | None = None  # PostgreSQL's time, and the loop's when it was told

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
                server_settings=LET_GO,
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
        [[told]] = await self._fetch(_JOIN, node.id, node.url, ttl)
        self._tell(told)
        await self.tidy()

    async def renew(self) -> bool:
        """See `Leases`."""
        [[was_alive, told]] = await self._fetch(_RENEW, *self._own, self._ttl)
        self._tell(told)
        return bool(was_alive)

    def now(self) -> float:
        """Return PostgreSQL's time, in seconds since the epoch; before the node has joined, this machine's."""
        if self._told is None:
            return time.time()
        told, at = self._told
        return told + asyncio.get_running_loop().time() - at

    def _tell(self, told: float) -> None:
        self._told = told, asyncio.get_running_loop().time()

    async def leave(self) -> None:
        """See `Leases`."""
        await self._fetch(_LEAVE, self._own.id)

    async def tidy(self) -> None:
        """See `Leases`."""
        await self._fetch(_SWEEP)

    async def nodes(self) -> list[Node]:
        """See `Leases`."""
        return [Node(*row) for row in await self._fetch(_NODES)]

    async def expired(self) -> list[Expired]:
        """Return the nodes that have expired within the last hour without leaving, and were not started anew.

        Raises `HistoryUnavailable`.
        """
        rows = await self._fetch(_EXPIRED, EXPIRED_SECONDS, MOST_EXPIRED)
        return [Expired(Node(node_id, url), since) for node_id, url, since in rows]

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

    async def release(self, lease: Lease, *, unfinished: bool = False) -> None:
        """See `Leases`."""
        self._fence.drop(lease.session, lease.epoch)
        await self._fetch(_RELEASE, lease.session, self._own.id, lease.epoch, _NOBODY if unfinished else None)

    async def release_all(self, leases: Sequence[Lease]) -> None:
        """See `Leases`."""
        for lease in leases:
            self._fence.drop(lease.session, lease.epoch)
        sessions, epochs = [lease.session for lease in leases], [lease.epoch for lease in leases]
        await self._fetch(_RELEASE_ALL, self._own.id, sessions, epochs)

    async def mine(self) -> list[Lease]:
        """See `Leases`."""
        return [_lease(row) for row in await self._fetch(_MINE, self._own.id)]

    async def lost(self, mine: Mapping[str, int]) -> set[str]:
        """See `Leases`."""
        rows = await self._fetch(_LOST, self._own.id, list(mine), list(mine.values()))
        lost = {str(row[0]) for row in rows}
        for session in lost:
            self._fence.drop(session, mine[session])
        return lost

    async def orphans(self, limit: int) -> list[Lease]:
        """See `Leases`."""
        rows = await self._fetch(_ORPHANS, limit)
        if not all(row["is_left"] for row in rows):
            await self._free_idle()
        return [_lease(row[:5]) for row in rows if row["is_left"]]

    async def _free_idle(self) -> None:
        """Release the leases of nodes that have expired, in sessions where nothing is left to do."""
        try:
            async with self._pool.acquire(timeout=PATIENCE) as connection, connection.transaction():
                locked = [row[0] for row in await connection.fetch(_LOCK_IDLE)]
                await connection.execute(_FREE_IDLE, locked)
        except _TROUBLE as error:
            raise _unavailable(error) from error

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
