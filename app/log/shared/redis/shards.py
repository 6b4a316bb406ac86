"""Which link leads to a key: there is one for a server, and one for each shard of a Redis Cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.log.shared.redis.address import Whereabouts
from app.log.shared.redis.link import Link, Sender

MakeLink = Callable[[Whereabouts], Link]


class Shards(Protocol):
    """The links of a node."""

    @property
    def trouble(self) -> str:
        """Why a part of Redis cannot be used; "" if all of it can."""
        ...

    @property
    def anywhere(self) -> Whereabouts:
        """Who tells a server for what has no key, such as hints."""
        ...

    async def start(self) -> None:
        """Connect. Raises `UnfitRedis` with a sentence if that is impossible, or if Redis is set up wrong."""
        ...

    async def close(self) -> None:
        """Disconnect for good. Idempotent."""
        ...

    def of(self, key: str) -> Link:
        """Return the link to the shard that has this key, or any if nobody has it."""
        ...

    def is_ready(self, key: str) -> bool:
        """Whether a shard has this key and can be used."""
        ...

    def away_since(self, key: str) -> float | None:
        """Return the loop time since which that shard is known to be away; `None` if it is not."""
        ...

    def any(self) -> Link:
        """Return a link that is up, if there is one."""
        ...

    def redirect(self, key: str, error: str, link: Link) -> Sender:
        """Return where to go after Redis has refused a command, over this link, because of where its key is."""
        ...


class OneServer:
    """All keys are on one server."""

    def __init__(self, whereabouts: Whereabouts, make: MakeLink) -> None:
        self.anywhere = whereabouts
        self._link = make(whereabouts)

    def __repr__(self) -> str:
        return repr(self._link)

    @property
    def trouble(self) -> str:
        """See `Shards`."""
        return self._link.trouble

    async def start(self) -> None:
        """See `Shards`."""
        await self._link.start()

    async def close(self) -> None:
        """See `Shards`."""
        await self._link.close()

    def of(self, _key: str) -> Link:
        """See `Shards`."""
        return self._link

    def is_ready(self, _key: str) -> bool:
        """See `Shards`."""
        return self._link.is_up

    def away_since(self, _key: str) -> float | None:
        """See `Shards`."""
        return self._link.down_since

    def any(self) -> Link:
        """See `Shards`."""
        return self._link

    def redirect(self, _key: str, _error: str, _link: Link) -> Sender:
        """See `Shards`. A server alone redirects nobody: its connection is dropped before."""
        return self._link
