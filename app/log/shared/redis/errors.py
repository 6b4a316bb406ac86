"""What can be wrong with the Redis that keeps the shared logs."""

from __future__ import annotations


class UnfitRedis(Exception):
    """Redis cannot keep the logs as it is set up. The message says what to change."""


class Lost(Exception):
    """The connection was lost before this reply came: nobody knows whether the command was done."""
