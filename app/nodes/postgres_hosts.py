"""Which hosts a PostgreSQL URL names. libpq has more than `urlsplit` knows: several hosts, and hosts in the query."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

PORT = 5432

_URL = re.compile(r"postgres(?:ql)?://(?:[^/?#]*@)?(?P<hosts>[^@/?#]*)[^?#]*(?:\?(?P<query>[^#]*))?")
_HOST = re.compile(r"(?P<name>\[[^\[\]]+\]|[^\[\]:]+)(?::(?P<port>\d{1,5}))?")


class Host(NamedTuple):
    """A name or an address, and a port."""

    name: str
    port: int


def hosts_of(url: str | None) -> list[Host]:
    """Return the hosts that are tried, in turn. Sockets of this machine are left out, and what cannot be read."""
    said = _URL.fullmatch(url or "")
    if said is None:
        return []
    query = parse_qs(said["query"] or "")
    # The query is for what the authority lacks, such as the folder of a socket. The last of several counts.
    named = said["hosts"] or query.get("host", [""])[-1]
    ports = query.get("port", [""])[-1].split(",")
    found = []
    for place, text in enumerate(named.split(",")):
        host = _HOST.fullmatch(unquote(text))
        if host is None or host["name"].startswith("/"):
            continue
        port = host["port"] or (ports[place] if place < len(ports) else ports[-1])
        found.append(Host(host["name"].strip("[]"), int(port) if port.isdecimal() else PORT))
    return found
