"""Where Redis is: the server to connect to, or who knows it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from app.redis_url import Host

PROBE_KEY = "tailrace:probe"


def channel_of(database: int) -> str:
    """Return the channel of the hints. Redis knows no databases here, so its name has the number."""
    return f"tailrace:{database}:hints"


class Whereabouts(Protocol):
    """Tells which server to connect to. `str` is for messages and has no password."""

    async def server(self) -> Address:
        """Return the primary of this moment. Bounded. Raises `LogUnavailable`."""
        ...

    @property
    def database(self) -> int:
        """The number of the database."""
        ...


class Address(NamedTuple):
    """A Redis server and how to get in. `repr` and `str` hold no password."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    database: int
    in_cluster: bool = False  # it has a part of the keys
    probe_key: str | None = PROBE_KEY  # written at each new connection; `None` if it has no keys

    def __repr__(self) -> str:
        return f"<Address {self}>"

    def __str__(self) -> str:
        return str(Host(self.host, self.port))

    async def server(self) -> Address:
        """See `Whereabouts`: it is always this one."""
        return self
