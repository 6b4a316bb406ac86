"""Counts generations, in total and per session, to prove that none overlap and none stay open."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.chat.ports import ChatMessage
from app.tasks.timeouts import within as bounded

KEPT_ENTRIES = 10_000
_MARK = re.compile(r"\bsession=([\w-]+)")


def session_mark(messages: Sequence[ChatMessage]) -> str:
    """Return the session that the last user message names as `session=…`, or an empty string."""
    last = next((message.content for message in reversed(messages) if message.role == "user"), "")
    found = _MARK.search(last)
    return found[1] if found else ""


@dataclass(eq=False)
class LedgerEntry:
    """One opened generation. The events are set once and never cleared."""

    session: str
    finished: asyncio.Event = field(default_factory=asyncio.Event)  # ended by itself
    aborted: asyncio.Event = field(default_factory=asyncio.Event)  # closed by the other side
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # finished or aborted


class GenerationLedger:
    """Counts generations: open, maximum open at once, opened, finished, aborted."""

    def __init__(self) -> None:
        self.entries: deque[LedgerEntry] = deque(maxlen=KEPT_ENTRIES)  # the last `KEPT_ENTRIES`, in order
        self.open = 0
        self.most_open = 0
        self.opened = 0
        self.finished = 0  # ended by themselves or failed
        self.aborted = 0  # closed by the other side
        self.most_open_by_session: Counter[str] = Counter()
        self._open_by_session: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return (
            f"<GenerationLedger open={self.open} most={self.most_open} opened={self.opened} "
            f"finished={self.finished} aborted={self.aborted}>"
        )

    @property
    def overlaps(self) -> list[str]:
        """Sessions that ever had two generations open at once. Generations without a session do not count."""
        return sorted(session for session, most in self.most_open_by_session.items() if session and most > 1)

    def open_in(self, session: str) -> int:
        """Return the number of open generations of a session."""
        return self._open_by_session[session]

    def start(self, session: str) -> LedgerEntry:
        """Record a new generation of a session."""
        entry = LedgerEntry(session)
        self.entries.append(entry)
        self.opened += 1
        self.open += 1
        self._open_by_session[session] += 1
        self.most_open = max(self.most_open, self.open)
        self.most_open_by_session[session] = max(self.most_open_by_session[session], self.open_in(session))
        self._changed.set()
        return entry

    def finish(self, entry: LedgerEntry) -> None:
        """Record that a generation ended by itself. Only the first of `finish` and `abort` counts."""
        if self._close(entry):
            self.finished += 1
            entry.finished.set()

    def abort(self, entry: LedgerEntry) -> None:
        """Record that the other side closed a generation."""
        if self._close(entry):
            self.aborted += 1
            entry.aborted.set()

    async def until(self, condition: Callable[[GenerationLedger], bool], *, within: float = 5.0) -> None:
        """Wait until the condition holds. Raises `TimeoutError` after `within` seconds."""
        await bounded(within, self._until(condition))

    async def _until(self, condition: Callable[[GenerationLedger], bool]) -> None:
        while not condition(self):
            self._changed.clear()
            await self._changed.wait()

    def _close(self, entry: LedgerEntry) -> bool:
        if entry.closed.is_set():
            return False
        entry.closed.set()
        self.open -= 1
        self._open_by_session[entry.session] -= 1
        if not self._open_by_session[entry.session]:
            del self._open_by_session[entry.session]
        self._changed.set()
        return True
