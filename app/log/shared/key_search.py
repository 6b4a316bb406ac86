"""Finds the server that has a log's key now, after one has refused it: in a Redis Cluster, keys move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.log.shared.redis.link import Link, Sender

PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # s, before each look for a key that was moved


class KeySearch:
    """The looks for one key, with pauses that grow, until it is found.

    `redirect` says where to look after a refusal; `arrive` is called with that once it is time. `give_up` is called
    once the search has taken `patience` seconds; it goes on.
    """

    def __init__(
        self,
        key: str,
        *,
        patience: float,
        redirect: Callable[[str, str, Link], Sender],
        arrive: Callable[[Sender], None],
        give_up: Callable[[], None],
    ) -> None:
        self.looks = 0  # since the key was found last
        self._key = key
        self._patience = patience
        self._redirect = redirect
        self._arrive = arrive
        self._give_up = give_up
        self._next: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<KeySearch {self._key} looks={self.looks}>"

    def follow(self, error: str, home: Link) -> None:
        """Look where a refusal points to, which came over the link `home`."""
        self.stay()
        link = self._redirect(self._key, error, home)
        self.looks += 1
        loop = asyncio.get_running_loop()
        if self._giving_up is None:
            self._giving_up = loop.call_later(self._patience, self._has_taken_too_long)
        self._next = loop.call_later(PAUSES[min(self.looks, len(PAUSES)) - 1], self._look, link)

    def stay(self) -> None:
        """Do without the next look."""
        coming, self._next = self._next, None
        if coming is not None:
            coming.cancel()

    def found(self) -> None:
        """The key is where it was looked for, and can be written. Idempotent."""
        self.looks = 0
        giving_up, self._giving_up = self._giving_up, None
        if giving_up is not None:
            giving_up.cancel()

    def _look(self, link: Sender) -> None:
        self._next = None
        self._arrive(link)

    def _has_taken_too_long(self) -> None:
        self._giving_up = None
        self._give_up()
