"""The addresses of Redis that settings have: of one server, of sentinels that name it, or of a Redis Cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

PORT = 6379
SENTINEL_PORT = 26379
# Of the client library and others, which do not apply here.
OPTIONS = frozenset(
    (
        *(
            "client_name",
            "db",
            "health_check_interval",
            "max_connections",
            "password",
            "protocol",
            "socket_timeout",
        ),
        *(
            "sentinel_password",
            "sentinel_ssl",
            "sentinel_username",
            "socket_connect_timeout",
            "ssl",
            "ssl_ca_certs",
        ),
        *(
            "ssl_ca_path",
            "ssl_cert_reqs",
            "ssl_certfile",
            "ssl_check_hostname",
            "ssl_keyfile",
            "timeout",
            "username",
        ),
    )
)
SWITCHES = {"true": True, "1": True, "false": False, "0": False}
EXAMPLE = (
    "expected an address such as redis://host:6379/0, rediss://:password@host:6380, "
    "redis+sentinel://host1:26379,host2:26379/mymaster or redis+cluster://host1:7000,host2:7000"
)

_URL = re.compile(
    r"redis(?P<tls>s?)(?:\+(?P<kind>sentinel|cluster))?://(?:(?P<access>[^/?#]*)@)?(?P<hosts>[^@/?#]+)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:,]+)(?::(\d{1,5}))?")


class Host(NamedTuple):
    """A name or an address, and a port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class RedisUrl(NamedTuple):
    """What an address says. `repr` holds no password."""

    kind: Literal["server", "sentinel", "cluster"]
    hosts: tuple[Host, ...]  # one server, all sentinels, or some servers of the cluster
    tls: bool  # to the servers
    user: str = ""
    password: str = ""
    database: int = 0
    primary: str = ""  # its name at the sentinels
    sentinel_tls: bool = False
    sentinel_user: str = ""
    sentinel_password: str = ""

    def __repr__(self) -> str:
        return f"<RedisUrl {self.kind} {','.join(map(str, self.hosts))}>"

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Parse an address. Raises `ValueError` with what to change; no password is in it.

        `redis://` or `rediss://` (TLS), `[user:password@]host[:port][/database]` or `?db=database`, or
        `redis+sentinel://` or `rediss+sentinel://`, `[user:password@]host[:port][,host[:port]…]/primary[/database]`
        with the parameters `sentinel_username`, `sentinel_password` and `sentinel_ssl`, or `redis+cluster://` or
        `rediss+cluster://`, `[user:password@]host[:port][,host[:port]…]`.
        """
        said = _URL.fullmatch(url)
        if said is None:
            raise ValueError(EXAMPLE)
        is_sentinel = said["kind"] == "sentinel"
        names = said["hosts"].split(",")
        hosts = tuple(_host(name, SENTINEL_PORT if is_sentinel else PORT) for name in names)
        user, _, password = (said["access"] or "").partition(":")
        access: dict[str, Any] = {
            "tls": bool(said["tls"]),
            "user": unquote(user),
            "password": unquote(password),
        }
        path = (said["path"] or "").strip("/")
        options = parse_qsl(said["query"] or "", keep_blank_values=True)
        if said["kind"] == "cluster":
            for name, _ in options:
                raise ValueError(
                    f"the address of a Redis Cluster takes no option, so leave out {_named(name)}"
                )
            if path not in ("", "0"):
                raise ValueError("a Redis Cluster has one database, so leave out what follows the last host")
            return cls("cluster", hosts, **access)
        if not is_sentinel:
            if len(hosts) > 1:
                raise ValueError(EXAMPLE)
            return cls("server", hosts, **access, database=_of_server(path, options))
        primary, _, database = path.partition("/")
        if not primary:
            raise ValueError(
                "the name that the sentinels have for the primary is missing. Put it after the last host, "
                "as in redis+sentinel://host1:26379,host2:26379/mymaster"
            )
        return cls(
            "sentinel",
            hosts,
            **access,
            database=_database(database),
            primary=unquote(primary),
            **_of_sentinels(options),
        )


def _host(text: str, port: int) -> Host:
    said = _HOST.fullmatch(text)
    if said is None or int(said[2] or port) > 65535:
        raise ValueError(EXAMPLE)
    return Host(said[1].strip("[]").lower(), int(said[2] or port))


def _database(text: str) -> int:
    if not re.fullmatch(r"\d{0,5}", text, re.ASCII):
        raise ValueError(EXAMPLE)
    return int(text or 0)


def _named(option: str) -> str:
    """Return what to leave out, and what to use for the option that is asked for most.

    Only what is known as an option is repeated: anything else may be a part of a password.
    """
    if option in OPTIONS:
        return f"{option} (for a certificate authority of your own there is the variable SSL_CERT_FILE)"
    return "what else follows the ? (in a password write %3F for ?, %26 for &, %23 for # and %40 for @)"


def _of_server(path: str, options: Sequence[tuple[str, str]]) -> int:
    """Return the number of the database."""
    databases = [_database(path)] if path else []
    for name, value in options:
        if name != "db":
            raise ValueError(f"an address of Redis takes the option db alone, so leave out {_named(name)}")
        if not value:
            raise ValueError(EXAMPLE)
        databases.append(_database(value))
    if len(set(databases)) > 1:
        raise ValueError("the address names two databases. Leave out ?db=, or what follows the host")
    return databases[0] if databases else 0


def _of_sentinels(options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options:
        match name:
            case "sentinel_username":
                found["sentinel_user"] = value
            case "sentinel_password":
                found["sentinel_password"] = value
            case "sentinel_ssl" if value.lower() in SWITCHES:
                found["sentinel_tls"] = SWITCHES[value.lower()]
            case "sentinel_ssl":
                raise ValueError("an address with sentinels takes sentinel_ssl=true or sentinel_ssl=false")
            case _:
                raise ValueError(
                    "an address with sentinels takes the parameters sentinel_username, sentinel_password "
                    f"and sentinel_ssl=true, so leave out {_named(name)}"
                )
    return found
