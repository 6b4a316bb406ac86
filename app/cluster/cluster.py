"""What the web layer of a node needs of its cluster: who owns a session, who the peers are, and hints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from app.cluster.moves import Moves
from app.cluster.ports import Expired, Lease, Node

# Kinds of hints, and their words.
OWNER_CHANGED = "owner"  # a session's scoped id, and the epoch of its new owner
LIST_CHANGED = "list"  # an owner whose list of sessions has changed
SESSION_BEGUN = (
    "begun"  # a session's scoped id, and the cursor just before its first event; "" if that is not known
)

# Why a node is not ready. The operations page has its own words for each.
NOT_JOINED = "this node has not joined the cluster yet"
LEAVING = "this node leaves the cluster"
NO_POSTGRES = "PostgreSQL does not respond, so this node is not sure of its sessions"
NO_REDIS = "Redis does not respond, so no new messages can be answered"
ANOTHER_CLUSTERS_REDIS = (
    "this Redis database belongs to another cluster now, so chats of both may get mixed up"
)
NOT_AT_ITS_ADDRESS = "this node does not answer at its own TAILRACE_NODE_URL, so other nodes may not reach it"
NOT_ALL_OF_REDIS = "a part of Redis does not respond, so new messages in some chats cannot be answered"


class Owners(Protocol):
    """Says which node owns a session. `app.cluster.ownership.Ownership` is one."""

    @property
    def node(self) -> Node:
        """The node that this process is."""
        ...

    def __len__(self) -> int:
        """Number of sessions that this node owns."""
        ...

    @property
    def claiming(self) -> bool:
        """Whether this node takes sessions. Off while it leaves."""
        ...

    @property
    def is_sure(self) -> bool:
        """Whether this node has been renewed in time, by its own clock."""
        ...

    def holds(self, session_id: str, epoch: int | None = None) -> bool:
        """Return whether this node owns the session now (under this epoch). Without I/O."""
        ...

    async def find(self, session_id: str) -> Lease | None:
        """Return the session's lease without taking it; `None` if nobody owns it. Raises `HistoryUnavailable`."""
        ...

    async def owner(self, session_id: str, *, over: int | None = None, avoid: Collection[str] = ()) -> Lease:
        """Return the session's lease, after taking it if that is possible; see `Ownership`.

        Raises `HistoryUnavailable`.
        """
        ...

    async def log_ready(self, session_id: str) -> None:
        """Return once the session's log could be opened here. Raises `LogUnavailable` after a bound."""
        ...

    async def give(self, session_id: str, *, wait: float = 0.0) -> None:
        """Give a session up after ending its answers within `wait` seconds. Raises `HistoryUnavailable`."""
        ...


class Hints(Protocol):
    """Short messages to all other nodes, which may be lost: whatever matters is in PostgreSQL or in the log."""

    def send(self, kind: str, *words: str) -> None:
        """Send a hint of a kind. Synchronous; never raises. This node does not get its own."""
        ...

    def listen(self, kind: str, heard: Callable[..., None]) -> None:
        """Call `heard` with the words of each hint of this kind, for as long as the node runs."""
        ...


class Cluster(NamedTuple):
    """The parts of a node that its web layer knows."""

    owners: Owners
    peers: Callable[[], Sequence[Node]]  # the other nodes that are alive
    expired: Callable[[], Awaitable[Sequence[Expired]]]  # lately; may raise `HistoryUnavailable`
    secret: bytes  # of the whole cluster: what one node signs with it, the others believe
    hints: Hints
    patience: float  # s, for which a node may leave a request unanswered before its sessions are taken over
    ttl: float  # s, after which a node that is not renewed has lost its sessions
    moves: Moves  # of sessions, for those who wait for them here
    forget: Callable[[str], None]  # continue nothing in this session: its user has stopped it
    trouble: Callable[[], Sequence[str]]  # why this node is not ready, as sentences without a full stop
    now: Callable[[], float]  # s since the epoch, by the clock of all nodes; the machines' own may differ
    absence: Callable[[], str] = str  # why no requests should be sent to it, likewise; "" if they should

    def __repr__(self) -> str:
        return f"<Cluster {self.owners!r}>"
