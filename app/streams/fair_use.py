"""What one owner may use at once, so that others get their share. Nothing here limits the owner `local`."""

from __future__ import annotations

import asyncio
from collections import deque

from app.chat.quotas import PROMPT_SECONDS as WINDOW
from app.chat.quotas import is_limited, too_many_prompts, too_many_running
from app.streams.bounds import Bounds
from app.streams.counters import Counters

MOST_RETRY = (
    60.0  # s; nobody can say when an answer ends, so a client looks again after a minute at the latest
)
# Refusals that an owner gets at once; a flood of further ones is answered at this rate, for each costs processor time.
REFUSALS, REFUSALS_PER_SECOND = 20, 20
LONGEST_DELAY = 5.0  # s
SWEEP = 256  # owners; with more, those without a recent prompt are forgotten


class FairUse:
    """Checks an owner's running streams and prompts. Synchronous throughout."""

    def __init__(self, bounds: Bounds, tally: Counters) -> None:
        self._bounds = bounds
        self._tally = tally
        self._prompts: dict[str, deque[float]] = {}  # loop times of the last minute, by owner, oldest first
        self._full: dict[str, float] = {}  # loop times at which all nodes together allow the next one
        self._sweep_at = SWEEP
        self._refused: dict[str, float] = {}  # loop time at which all refusals so far are paid for, by owner

    def __repr__(self) -> str:
        return f"<FairUse owners={len(self._prompts)}>"

    @property
    def owners(self) -> int:
        """The number of owners whose prompts are known."""
        return len(self._prompts)

    def check(self, owner: str, *, adds_load: bool) -> None:
        """Raise `OwnerPrompts` or `OwnerStreams` if the owner may not send another prompt now.

        A prompt that `adds_load` makes a further session run.
        """
        if not is_limited(owner):
            return
        self.check_prompts(owner)
        most, running = self._bounds.owner_streams, self._tally.busy_of.get(owner, 0)
        if adds_load and most is not None and running >= most:
            raise too_many_running(running, most, self.until_one_ends(running))

    def until_one_ends(self, running: int) -> float:
        """Return an estimate of the seconds until one of `running` answers ends."""
        return min(self._tally.typical / max(1, running), MOST_RETRY)

    def count(self, owner: str) -> None:
        """Count a prompt that was accepted, or an import: it stores what a prompt does, and more."""
        if is_limited(owner) and self._bounds.owner_prompts_per_minute is not None:
            self._prompts.setdefault(owner, deque()).append(asyncio.get_running_loop().time())
            if len(self._prompts) > self._sweep_at:
                self._sweep()

    def full(self, owner: str, wait: float) -> None:
        """All nodes of a cluster together allow this owner no prompt for `wait` seconds."""
        now = asyncio.get_running_loop().time()
        if len(self._full) >= SWEEP and owner not in self._full:
            self._full = {name: until for name, until in self._full.items() if until > now}
        self._full[owner] = now + wait

    def delay(self, owner: str) -> float:
        """Count a refusal, and return the seconds to wait before it is answered: 0, except in a flood."""
        if not is_limited(owner):
            return 0.0
        now = asyncio.get_running_loop().time()
        if len(self._refused) >= SWEEP and owner not in self._refused:
            self._refused = {name: paid for name, paid in self._refused.items() if paid > now}
        paid = max(self._refused.get(owner, 0.0), now)
        wait = min(max(0.0, paid - now - REFUSALS / REFUSALS_PER_SECOND), LONGEST_DELAY)
        if wait < LONGEST_DELAY:
            self._refused[owner] = paid + 1 / REFUSALS_PER_SECOND
        return wait

    def check_prompts(self, owner: str) -> None:
        """Raise `OwnerPrompts` if the owner has sent or imported too many within the last minute."""
        most, sent = self._bounds.owner_prompts_per_minute, self._prompts.get(owner, deque())
        if most is None or not is_limited(owner):
            return
        now = asyncio.get_running_loop().time()
        if (until := self._full.get(owner, now)) > now:
            raise too_many_prompts(most, until - now)
        while sent and sent[0] <= now - WINDOW:
            sent.popleft()
        if len(sent) >= most:
            raise too_many_prompts(most, sent[0] + WINDOW - now)

    def _sweep(self) -> None:
        """Forget owners without a recent prompt. The next sweep is at twice the size."""
        old = asyncio.get_running_loop().time() - WINDOW
        self._prompts = {owner: sent for owner, sent in self._prompts.items() if sent and sent[-1] > old}
        self._sweep_at = max(SWEEP, 2 * len(self._prompts))
