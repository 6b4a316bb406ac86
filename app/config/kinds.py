"""The types of settings: each with a description of valid values, a unit and limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from app.chat.scoped_ids import OWNER_PATTERN
from app.config.database_urls import is_database_url
from app.config.node_urls import is_node_url
from app.config.servers import is_address
from app.hosts import HostPattern, OriginText
from app.networks import Trusted

_DAY = 86_400  # s


def kind(
    expects: str,
    *,
    unit: str = "",
    none: str = "",
    secret: bool = False,
    check: Callable[[Any], bool] | None = None,
    **limits: Any,
) -> Meta:
    """Describe a type: its valid values, its unit, the word for `None` if it has one, a further check, its limits."""
    notes = {"expects": expects, "unit": unit, "none": none, "secret": secret, "check": check}
    return Meta(extra=notes, **limits)


Host = Annotated[str, kind("an IP address or host name, without a port", pattern=r"^[A-Za-z0-9.:-]+$")]
OtherHosts = Annotated[
    tuple[HostPattern, ...],
    kind("host names such as chat.example.org, *.example.org or chat.local:8080, separated by commas"),
]
Origins = Annotated[
    tuple[OriginText, ...],
    kind("origins such as https://app.example.org, separated by commas"),
]
Proxies = Annotated[
    tuple[Trusted, ...],
    kind("IP addresses and networks such as 127.0.0.1 or 10.1.0.0/16, or unix, separated by commas"),
]
Port = Annotated[int, kind("a port number, 0 to 65535", ge=0, le=65_535)]
BasePath = Annotated[str, kind("a path such as /chat", pattern=r"^(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*/?$")]
Token = Annotated[str, kind("at least 16 visible ASCII characters", secret=True, pattern=r"^[!-~]{16,1000}$")]
Auth = Annotated[Literal["local", "tokens", "proxy"], kind("local, tokens or proxy")]
HeaderName = Annotated[str, kind("the name of a header", pattern=r"^[A-Za-z0-9-]{1,64}$")]
Owners = Annotated[
    tuple[Annotated[str, Meta(pattern=f"^{OWNER_PATTERN}$")], ...],
    kind("user names of letters, digits and ._@+|:-, separated by commas"),
]
Key = Annotated[str, kind("visible ASCII characters without spaces", secret=True, pattern=r"^[!-~]+$")]
Database = Annotated[
    str,
    kind(
        "postgresql://user:password@host:5432/database (in a password, %2F for /, %3F for ?, %23 for # and %40 for @) "
        "or memory:",
        secret=True,
        pattern=r"^(postgresql://\S+|memory:)$",
        check=is_database_url,
    ),
]
Redis = Annotated[
    str,
    kind(
        "redis://…, redis+sentinel://…, redis+cluster://…, each also with rediss for TLS, or redis+unix:///…",
        secret=True,
        pattern=r"^(rediss?(\+(sentinel|cluster))?://[^\s/]|redis\+unix:///)\S*$",
    ),
]
RedisServer = Annotated[
    str,
    kind(
        "redis://…, redis+sentinel://… or redis+cluster://…, each also with rediss for TLS",
        secret=True,
        pattern=r"^rediss?(\+(sentinel|cluster))?://[^\s/]\S*$",
    ),
]
NodeTtl = Annotated[float, kind("seconds from 1 to 600", unit="s", ge=1, le=600)]
Url = Annotated[str, kind("an http:// or https:// URL", check=is_address)]
NodeUrl = Annotated[
    str,
    kind(
        "an http:// or https:// URL such as http://10.0.0.3:8080 at which the other nodes reach this one: "
        "not 0.0.0.0 or ::, and without a user, a query or a fragment",
        check=is_node_url,
    ),
]
UrlOrOff = Annotated[str, kind("an http:// or https:// URL, or off", none="off", check=is_address)]
ModelName = Annotated[
    str, kind("a model as backend/name", pattern=r"^[^\s/]+/\S(.*\S)?$", check=str.isprintable)
]
Agents = Annotated[
    tuple[
        Annotated[
            str,
            Meta(
                pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*=)?[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*$"
            ),
        ],
        ...,
    ],
    kind("agents as module:attribute or name=module:attribute, separated by commas"),
]
Flag = Annotated[bool, kind("1 or 0")]
Folder = Annotated[Path, kind("a folder path")]
FileOrOff = Annotated[Path, kind("the path of a file, or off", none="off")]
Seconds = Annotated[float, kind("seconds above 0, up to 86400", unit="s", gt=0, le=_DAY)]
Grace = Annotated[float, kind("seconds from 0 to 86400, or never", unit="s", none="never", ge=0, le=_DAY)]
Bytes = Annotated[int, kind("a whole number of bytes, at least 1024", unit="bytes", ge=1024, le=2**40)]
Tokens = Annotated[int, kind("a whole number of tokens, at least 256", unit="tokens", ge=256, le=2**30)]
Count = Annotated[int, kind("a whole number, at least 1", ge=1, le=1_000_000)]
Format = Literal["logfmt", "json", "console"]
Continuing = Literal["ask", "auto", "off"]
Level = Literal["debug", "info", "warning", "error"]
