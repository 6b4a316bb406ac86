"""Waiters for sessions that do not exist yet. A waiter is notified of the prompt that creates the session."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.chat.errors import TooManyWaiting
from app.log.cursors import Cursor
from app.tasks.reports import report


class Arrivals:
    """Waiters by owner and session id. A session that another owner creates under the same id notifies nobody."""

    def __init__(self) -> None:
        self._waiting: defaultdict[tuple[str, str], list[Callable[[Cursor | None], None]]] = defaultdict(list)
        self._held: Counter[str] = Counter()  # waiters by owner
        self._closed = False
        # Tells the other nodes of a cluster that a session has begun.
        self.tell_nodes: Callable[[str, Cursor | None], None] = lambda _session_id, _cursor: None

    def __repr__(self) -> str:
        return f"<Arrivals {self._held.total()}>"

    @property
    def waiting(self) -> int:
        """The number of waiters of all owners."""
        return self._held.total()

    def awaited(self) -> list[tuple[str, str]]:
        """Return the sessions that somebody waits for, with their owners."""
        return list(self._waiting)

    def is_awaited(self, owner: str, session_id: str) -> bool:
        """Return whether somebody waits for a session."""
        return (owner, session_id) in self._waiting

    @contextmanager
    def wait(
        self, owner: str, session_id: str, tell: Callable[[Cursor | None], None], *, most: int
    ) -> Iterator[None]:
        """Call `tell` for each prompt of `owner` in the session, with the cursor just before its first event.

        `tell` gets `None` if there is no such cursor: the session was restored or moves to another node, or the server
        is shutting down.
        Raises `TooManyWaiting` if the owner already has `most` waiters.
        """
        if self._held[owner] >= most:
            raise TooManyWaiting(
                f"{most} event streams are already waiting for chats that don't exist yet. Close some first."
            )
        self._held[owner] += 1
        waiting = self._waiting[owner, session_id]
        waiting.append(tell)
        if self._closed:
            tell(None)
        try:
            yield
        finally:
            self._forget(owner, session_id, tell)

    def _forget(self, owner: str, session_id: str, tell: Callable[[Cursor | None], None]) -> None:
        waiting = self._waiting[owner, session_id]
        waiting.remove(tell)
        if not waiting:
            del self._waiting[owner, session_id]
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def tell(self, owner: str, session_id: str, cursor: Cursor | None = None) -> None:
        """Notify the waiters that the session exists. A waiter's error is reported and affects nobody else."""
        for tell in tuple(self._waiting.get((owner, session_id), ())):
            try:
                tell(cursor)
            except Exception as error:  # noqa: BLE001 - it is reported
                report("a client that waits for a session could not be notified", error)

    def begin(self, owner: str, session_id: str, cursor: Cursor | None = None) -> None:
        """Notify all waiters, also those of other nodes, that the session exists from now on."""
        self.tell(owner, session_id, cursor)
        self.tell_nodes(session_id, cursor)

    def close(self) -> None:
        """Notify all waiters, present and future, that the server is shutting down."""
        self._closed = True
        for owner, session_id in tuple(self._waiting):
            self.tell(owner, session_id)
