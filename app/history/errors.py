"""The error that prevents a server from starting on its database."""

from __future__ import annotations


class DatabaseUnusable(Exception):
    """The database cannot be used. The message says why and what to do."""
