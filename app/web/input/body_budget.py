"""How many bytes of request bodies one owner may have in memory. Beyond that their uploads take turns.

Bodies grow as they arrive. At the bound only the request that came first goes on: the others stop reading, so that TCP
makes their clients wait. The first one always ends, because the connection cuts a client that is too slow.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

MOST_BYTES = 16 * 1024 * 1024  # of one owner; a single body may be larger
MOST_SECONDS = 120.0  # that a body waits for its turn


class Share:
    """What one request holds. Closed when the request is done."""

    def __init__(self, account: _Account) -> None:
        self._account = account
        self.held = 0  # bytes

    def __repr__(self) -> str:
        return f"<Share held={self.held}>"

    async def grow(self, size: int) -> bool:
        """Add bytes; return when the next ones may be read. Returns False if the turn does not come in time."""
        self.held += size
        self._account.held += size
        if self._account.lets(self):
            return True
        return await self._account.turn_of(self)

    def close(self) -> None:
        """Give everything back. May be called again."""
        self._account.remove(self)
        self.held = 0


class _Account:
    """The shares of one owner, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0
        self.shares: OrderedDict[Share, None] = OrderedDict()
        self._waiting: dict[Share, asyncio.Future[None]] = {}

    def lets(self, share: Share) -> bool:
        return self.held <= self._most or next(iter(self.shares), share) is share

    async def turn_of(self, share: Share) -> bool:
        turn = self._waiting[share] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({turn}, timeout=MOST_SECONDS)
        finally:
            self._waiting.pop(share, None)
        return turn.done()

    def remove(self, share: Share) -> None:
        if share not in self.shares:
            return
        del self.shares[share]
        self.held -= share.held
        for waiting, turn in list(self._waiting.items()):
            if self.lets(waiting) and not turn.done():
                turn.set_result(None)


class BodyBudget:
    """The accounts of all owners with an upload in progress."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._accounts: dict[str, _Account] = {}

    def __repr__(self) -> str:
        return f"<BodyBudget owners={len(self._accounts)}>"

    @property
    def held(self) -> int:
        """How many bytes all owners hold."""
        return sum(account.held for account in self._accounts.values())

    def open(self, owner: str) -> Share:
        """Begin the upload of an owner."""
        self._accounts = {name: each for name, each in self._accounts.items() if each.shares}
        account = self._accounts.setdefault(owner, _Account(self._most))
        share = Share(account)
        account.shares[share] = None
        return share
