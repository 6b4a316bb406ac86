"""What a node says of itself, as its peers read it: the JSON of the operations page, with types.

What it lacks has a default, so that nodes of two versions can read each other.
"""

from __future__ import annotations

import msgspec

from app.chat.scoped_ids import scoped


class Figures(msgspec.Struct, kw_only=True):
    """Gauges and counters of a node, or their sums over several. See `Statistics`."""

    sessions: int = 0
    active: int = 0
    limit: int = 0
    queued: int = 0
    in_line: int = 0
    viewers: int = 0
    zombies: int = 0
    log_bytes: int = 0
    started: int = 0
    tokens: int = 0


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that has not ended. See `LiveStream`."""

    stream_id: str
    owner: str
    session_id: str  # as its owner knows it
    model: str
    status: str
    ending: str | None = None
    seconds: float
    tokens: int
    tokens_per_second: float | None = None
    viewers: int = 0
    waits_for: str | None = None
    place: int | None = None

    @property
    def chat(self) -> str:
        """The scoped id of its session."""
        return scoped(self.owner, self.session_id)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that has ended. See `StreamState`."""

    stream_id: str
    owner: str
    session_id: str  # as its owner knows it
    model: str
    outcome: str | None
    duration_ms: int
    ttft_ms: int | None = None
    completion_tokens: int = 0
    tokens_per_second: float | None = None
    upstream_closed: bool
    error: str | None = None  # a code
    ended_at: float  # POSIX time

    @property
    def chat(self) -> str:
        """The scoped id of its session."""
        return scoped(self.owner, self.session_id)


class ModelServer(msgspec.Struct, frozen=True, kw_only=True):
    """A backend."""

    name: str
    available: bool | None  # `None`: not asked yet
    models: int = 0
    error: str | None = None  # a code


class Storage(msgspec.Struct, kw_only=True):
    """How the history is, for a node or several. See `HistoryLoad`."""

    writable: bool = True
    changes: int = 0
    bytes: int = 0
    transactions: int = 0
    transaction_seconds: float = 0.0


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a cluster."""

    id: str
    url: str
    owned: int = 0  # sessions
    trouble: list[str] = []  # why it is not ready

    @property
    def place(self) -> str:
        """Its address without the scheme: short, and no two nodes have the same."""
        return self.url.partition("://")[2]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One node at one moment. `node` is `None` for a server without a cluster."""

    node: Who | None = None
    draining: bool = False
    statistics: Figures = msgspec.field(default_factory=Figures)
    live: list[Live] = []
    more: int = 0
    ended: list[End] = []
    viewers_behind: int = 0
    backends: list[ModelServer] = []
    history: Storage = msgspec.field(default_factory=Storage)


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """A node that did not say anything."""

    node: Who
    reason: str = "unreadable"
    since: float | None = None  # POSIX time
