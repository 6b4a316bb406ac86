"""Opens a node on its engines, and closes it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager

from app.chat.errors import HistoryUnavailable, LogUnavailable
from app.chat.ports import Catalog, Logger
from app.cluster.cluster import NO_REDIS, NOT_ALL_OF_REDIS, OWNER_CHANGED, Cluster
from app.cluster.continuing import Continuing
from app.cluster.departure import Departure
from app.cluster.figures import NodeFigures
from app.cluster.membership import Membership
from app.cluster.moves import Moves
from app.cluster.ownership import Ownership
from app.cluster.ports import Lease, Node
from app.config.settings import Settings
from app.history.leases import PostgresLeases
from app.history.sql import SqlHistory
from app.log.shared.redis.errors import UnfitRedis
from app.log.shared.shared_logs import SharedLogs
from app.nodes.claim import RedisClaim, RedisTaken
from app.nodes.estate import Shared
from app.streams.auto_continue import PAUSES, AutoContinue
from app.streams.registry import Registry

SECRET_BYTES = 32


class NodeUnusable(Exception):
    """The server cannot be a node. The message says why, and what to do."""


class ClusterNode:
    """A node that has not joined yet. `cluster` is for the web layer, `departure` ends what the node owns."""

    def __init__(
        self, shared: Shared, membership: Membership, departure: Departure, cluster: Cluster, logger: Logger
    ) -> None:
        self.cluster = cluster
        self.departure = departure
        self.continuing: Continuing | None = None
        self.passed_on: Callable[[], int] = lambda: 0  # requests so far; the web layer counts them
        self.address_trouble: Callable[[], str] = str  # see `Cluster.trouble`; the web layer tells
        self._shared = shared
        self._membership = membership
        self._logger = logger

    def __repr__(self) -> str:
        return f"<ClusterNode {self._membership!r}>"

    def figures(self) -> NodeFigures:
        """Return what an operator sees of this node."""
        ownership, logs = self._shared.ownership, self._shared.logs
        return NodeFigures(
            node=self._shared.node_id,
            owned=len(ownership),
            peers=len(self._membership.peers),
            redis=not logs.trouble,
            lag=sum(log.lag for log in logs),
            takeovers=ownership.figures.takeovers,
            interrupted=ownership.figures.interrupted,
            losses=ownership.figures.losses,
            fenced=logs.measures.fenced,
            repaired=logs.measures.repaired,
            detached=logs.measures.detached,
            passed_on=self.passed_on(),
            round_trips=logs.round_trips,
        )

    async def join(self, url: str) -> None:
        """Become a node that the others reach at `url`. Raises `NodeUnusable`."""
        try:
            await self._membership.join(Node(self._shared.node_id, url))
        except HistoryUnavailable as error:
            raise NodeUnusable(f"cannot join the cluster: {error}") from error

    @asynccontextmanager
    async def taking_up(self, registry: Registry, catalog: Catalog) -> AsyncIterator[None]:
        """Continue the answers that are interrupted in sessions which come to this node, until the block ends."""
        ownership = self._shared.ownership

        async def claim_free(session_id: str) -> bool:
            return (await ownership.owner(session_id)).node.id == ownership.node.id

        async def continue_all(sessions: Set[str]) -> Set[str]:
            async def claim(session_id: str) -> bool:
                # A session without viewers may have been given up while its model server was away.
                return session_id in sessions and await claim_free(session_id) and session_id in sessions

            return await AutoContinue(
                registry=registry,
                catalog=catalog,
                logger=self._logger,
                pauses=PAUSES[:1],  # `Continuing` pauses
                claim=claim,
                sessions=frozenset(sessions),
            ).run()

        first = AutoContinue(registry=registry, catalog=catalog, logger=self._logger, claim=claim_free)
        self.continuing = Continuing(continue_all, pauses=PAUSES[1:])
        async with self.continuing.running(), first.running():
            yield


@asynccontextmanager
async def opened_shared(settings: Settings, logger: Logger) -> AsyncIterator[Shared]:
    """Connect to Redis for the duration of the block. Raises `NodeUnusable`."""
    try:
        shared = Shared(settings, logger, secrets.token_hex(8))
        await shared.logs.start()
    except UnfitRedis as error:
        raise NodeUnusable(f"TAILRACE_REDIS_URL: {error}") from error
    try:
        yield shared
    finally:
        await shared.logs.close()


@asynccontextmanager
async def opened_node(
    settings: Settings,
    shared: Shared,
    history: SqlHistory,
    registry: Registry,
    catalog: Catalog,
    logger: Logger,
) -> AsyncIterator[ClusterNode]:
    """Yield a node on an open history; at the end it leaves the cluster. Raises `NodeUnusable`."""
    async with AsyncExitStack() as closing:
        try:
            secret = await history.secret("requests", secrets.token_bytes(SECRET_BYTES))
            cluster_id = (await history.secret("cluster", secrets.token_bytes(8))).hex()
            claim = RedisClaim(shared.logs, cluster_id, logger)
            await _start(claim, shared.logs)
            opening = PostgresLeases.opened(settings.database_url or "", shared.fence)
            leases = await closing.enter_async_context(opening)
        except (HistoryUnavailable, RedisTaken) as error:
            raise NodeUnusable(str(error)) from error
        node: ClusterNode

        moves = Moves()

        def taken(lease: Lease) -> None:
            moves.told(lease.session)
            shared.hints.send(OWNER_CHANGED, lease.session, str(lease.epoch))
            if node.continuing is not None:
                node.continuing.add(lease.session)

        def forget(session_id: str) -> None:
            if node.continuing is not None:
                node.continuing.forget(session_id)

        shared.history, shared.registry, shared.catalog = history, registry, catalog
        shared.ownership = ownership = Ownership(
            leases=leases,
            estate=shared,
            registry=registry,
            node=Node(shared.node_id, ""),
            logger=logger,
            taken=taken,
        )
        shared.hints.listen(OWNER_CHANGED, lambda session_id, epoch: ownership.heard(session_id, int(epoch)))
        membership = Membership(
            leases=leases,
            ownership=ownership,
            ttl=settings.node_ttl,
            logger=logger,
            log_is_up=lambda: not shared.logs.is_away,
        )

        def trouble() -> Sequence[str]:
            told = membership.trouble, _trouble(shared.logs), claim.trouble, node.address_trouble()
            return [reason for reason in told if reason]

        cluster = Cluster(
            owners=ownership,
            peers=lambda: membership.peers,
            expired=leases.expired,
            secret=secret,
            hints=shared.hints,
            patience=settings.supersede_timeout,
            ttl=settings.node_ttl,
            moves=moves,
            forget=forget,
            trouble=trouble,
            absence=lambda: membership.absence,
            now=leases.now,
        )
        departure = Departure(membership=membership, ownership=ownership, registry=registry, logger=logger)
        node = ClusterNode(shared, membership, departure, cluster, logger)
        async with shared.hints.hearing(), claim.kept():
            try:
                yield node
            finally:
                await membership.leave()


async def cookie_secret(history: SqlHistory) -> bytes:
    """Return the secret that signs cookies, the same on all nodes. Raises `NodeUnusable`."""
    try:
        return await history.secret("cookies", secrets.token_bytes(SECRET_BYTES))
    except HistoryUnavailable as error:
        raise NodeUnusable(str(error)) from error


async def _start(claim: RedisClaim, logs: SharedLogs) -> None:
    """Claim Redis; where a part of it is away, that is done when it is back. Raises as `RedisClaim.start` does."""
    try:
        await claim.start()
    except LogUnavailable:
        if logs.is_away:
            raise


def _trouble(logs: SharedLogs) -> str:
    if not logs.trouble:
        return ""
    return NO_REDIS if logs.is_away else NOT_ALL_OF_REDIS
