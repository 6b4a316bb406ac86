"""Which logs are given up before they expire, because they take too much memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from app.chat.scoped_ids import owner_of
from app.streams.bounds import Bounds
from app.streams.session import Session

SESSION_BYTES = 4096  # approximate size of a session in memory beside its log


def surplus(sessions: Iterable[Session], *, before: float, bounds: Bounds) -> Iterator[Session]:
    """Yield the sessions without a stream whose logs exceed the bound of their owner, or of all owners.

    Those used last are kept. Nothing that was used since `before` (loop time) is surplus: its viewers may be on their
    way back, or a prompt for it is being stored.
    """
    of_owner: Counter[str] = Counter()
    of_all = 0
    resting = [session for session in sessions if session.running is None]
    for session in sorted(resting, key=_touched, reverse=True):
        owner, size = owner_of(session.session_id), session.log.size + SESSION_BYTES
        of_owner[owner] += size
        fits = of_owner[owner] <= bounds.owner_resting_bytes and of_all + size <= bounds.resting_bytes
        if fits or session.touched >= before:
            of_all += size
        else:
            yield session


def _touched(session: Session) -> float:
    return session.touched
