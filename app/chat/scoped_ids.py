"""Session ids as the server keeps them: each owner has a namespace of its own.

Clients choose the ids of their sessions, so two owners may choose the same one. Inside the server an id therefore has
its owner in front, as in `alice/s1`, except for the owner `LOCAL`. A client's id never contains a slash, and neither
does the name of an owner.
"""

from __future__ import annotations

import re

LOCAL = "local"  # the owner of a server without owners, and whoever has its only access token
MOST_CHARACTERS = 128  # in the name of an owner
# Printable and without spaces, quotes, `=` and slashes: a name appears in log lines and in front of ids.
OWNER_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._@+|:-]{{0,{MOST_CHARACTERS - 1}}}"


def is_owner(name: str) -> bool:
    """Return whether `name` may be the name of an owner."""
    return re.fullmatch(OWNER_PATTERN, name) is not None


def scoped(owner: str, session_id: str) -> str:
    """Return the id under which the server keeps a session of `owner`."""
    return session_id if owner == LOCAL else f"{owner}/{session_id}"


def bare(session_id: str) -> str:
    """Return the id that the owner of a session knows."""
    return session_id.rpartition("/")[2]


def owner_of(session_id: str) -> str:
    """Return the owner in a scoped id."""
    return session_id.rpartition("/")[0] or LOCAL
