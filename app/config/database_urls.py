"""Checks the address of PostgreSQL, before its client meets it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"(\[[^\[\]@]+\]|[^\s\[\]:@]*)(?::(\d{1,5}))?")


def is_database_url(text: str) -> bool:
    """Return whether hosts and ports of `postgresql://…` can be told; `memory:` has none.

    A `/`, `#`, `?` or `@` of a password that is not coded makes a part of the password a host or a port.
    """
    try:
        access, found, hosts = urlsplit(text).netloc.partition("@")
    except ValueError:  # a bracket without the other one
        return False
    hosts = hosts if found else access
    return not hosts or all(map(_is_host, hosts.split(",")))


def _is_host(text: str) -> bool:
    said = _HOST.fullmatch(text)
    return bool(text) and said is not None and int(said[2] or 0) <= 65_535
