"""Checks where a node says that the others reach it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from app import hosts
from app.config.servers import is_address


def is_node_url(text: str) -> bool:
    """Return whether other machines may reach a server at this URL, and addresses can be put behind it.

    `0.0.0.0` and `::` are where one listens, not where one is reached.
    """
    if re.search(r"[@?#]", text) or not is_address(text):
        return False
    parts = urlsplit(text)
    host = hosts.canonical(parts.hostname or "")
    return host is not None and parts.port != 0 and not _is_unspecified(host)


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False  # a name
