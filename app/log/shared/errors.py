"""What can be wrong with the Redis that keeps the shared logs."""

from __future__ import annotations

from app.chat.errors import HistoryUnavailable


class LogUnavailable(HistoryUnavailable):
    """Redis does not respond, or refuses to write. It may pass."""


class UnfitRedis(Exception):
    """Redis cannot keep the logs as it is set up. The message says what to change."""


class Lost(Exception):
    """The connection was lost before this reply came: nobody knows whether the command was done."""
