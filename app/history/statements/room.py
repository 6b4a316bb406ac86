"""Whether there is room for what is to be stored, looked up in the transaction that stores it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from app.chat.errors import StorageFull
from app.chat.quotas import StorageLimits, Usage, refusal
from app.history.statements.prepared import Prepared
from app.history.statements.tables import DELETED, Name, sessions
from app.history.statements.usage import read_stored_bytes, read_usage

_OWNER = Prepared(
    select(sessions.c.owner).where(
        sessions.c.session_id == bindparam("of_session", type_=Name), sessions.c.owner != DELETED
    )
)


class Room:
    """The room that is left during one transaction, what it stores included."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._used: dict[str, Usage] = {}  # by owner
        self._new: set[str] = set()  # sessions
        self._stored: int | None = None  # bytes of all owners

    def __repr__(self) -> str:
        return f"<Room of {', '.join(self._used)}>"

    def take(
        self,
        owner: str,
        size: int,
        limits: StorageLimits | None,
        *,
        adds_session: bool = False,
        is_stored: bool = False,
    ) -> StorageFull | None:
        """Take room for `size` bytes, and for a session. Return the error if there is not enough.

        What `is_stored` counts already among the bytes of all owners, but not among the owner's.
        """
        if limits is None:
            return None
        used = self._used.get(owner) or read_usage(self._connection, owner)
        after = Usage(used.sessions + adds_session, used.bytes + size)
        stored = self._total(limits, 0 if is_stored else size)
        if (error := refusal(limits, after, stored, adds_session=adds_session)) is not None:
            return error
        self._used[owner] = after
        if self._stored is not None:
            self._stored = stored
        return None

    def take_for_prompt(
        self, owner: str, session_id: str, size: int, limits: StorageLimits | None
    ) -> StorageFull | None:
        """Take room for `size` bytes in a session, which may be new."""
        if limits is None:
            return None
        is_new = session_id not in self._new and not self._exists(session_id)
        error = self.take(owner, size, limits, adds_session=is_new)
        if is_new and error is None:
            self._new.add(session_id)
        return error

    def _exists(self, session_id: str) -> bool:
        return _OWNER.one(self._connection, {"of_session": session_id}) is not None

    def _total(self, limits: StorageLimits, size: int) -> int:
        if limits.stored_bytes is None:
            return 0
        if self._stored is None:
            self._stored = read_stored_bytes(self._connection)
        return self._stored + size
