"""Where Redis is, as its URL says."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from app.log.shared.errors import UnfitRedis

PORT = 6379


class Address(NamedTuple):
    """A Redis server and how to get in. `repr` and `str` hold no password."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    database: int

    def __repr__(self) -> str:
        return f"<Address {self}>"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parse `redis://` or `rediss://` (TLS), `[user:password@]host[:port][/database]`. Raises `UnfitRedis`."""
        try:
            parts = urlsplit(url)
            port, database = parts.port or PORT, int(parts.path.strip("/") or 0)
        except ValueError:
            parts, port, database = urlsplit(""), 0, 0
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise UnfitRedis(
                "expected an address such as redis://host:6379/0 or rediss://:password@host:6380"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port, parts.scheme == "rediss", user, password, database)
