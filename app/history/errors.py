"""Why a server cannot start on its history."""

from __future__ import annotations


class DatabaseUnusable(Exception):
    """The database cannot be used at all. The message says why, and what to do."""
