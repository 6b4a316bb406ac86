"""What is not HTTP gets its 400 from aiohttp, and here one line in the log.

Anybody can send garbage: a traceback for it would let strangers fill the log, and formatting it takes the event loop's
time.
"""

from __future__ import annotations

import logging
from functools import cache

from aiohttp.http_exceptions import HttpProcessingError


class OneLine(logging.Filter):
    """Turns the report of an unreadable request into a single line; every other report passes as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg += ": %s"
            record.args = (*(record.args or ()), type(error).__name__)  # its message quotes what was sent
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


@cache
def logger() -> logging.Logger:
    """Return the logger for aiohttp's own account of connections."""
    log = logging.getLogger("aiohttp.server")
    log.addFilter(OneLine())
    return log
