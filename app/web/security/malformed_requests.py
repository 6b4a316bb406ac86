"""Malformed HTTP requests: a 400 that says what to do, and one line in the log.

Anyone can send garbage. Tracebacks would let strangers fill the log, and formatting them blocks the event loop. A
malformed request never reaches the application, so the response is made here.
"""

from __future__ import annotations

import logging
from functools import cache
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from app.web.security import early_refusals
from app.web.security.early_refusals import Refusal
from app.web.security.host_and_origin import PROXY_ADVICE
from app.web.security.sampling import Sampler

# By the prefix of aiohttp's message; the first match counts.
SENTENCES = {
    "Missing 'Host'": f"The request has no Host. {PROXY_ADVICE}",
    "Duplicate 'Host'": f"The request has more than one Host. {PROXY_ADVICE}",
    "Received HTTPS": "This port speaks plain HTTP. Use http://, or put a proxy with TLS in front.",
    "Pause on PRI": "This port speaks HTTP/1.1. HTTP/2 is for a proxy in front.",
    "Got more than": "The address or a header of the request is too long: 8190 bytes is the limit.",
    "": "This is not a valid HTTP request.",
}

LINES, SECONDS = 10, 10.0  # log lines of this kind, and the period that they are counted in


class OneLine(logging.Filter):
    """Reduces the log record of a malformed request to one line, and omits most in a flood. Others pass unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self._sampler = Sampler(burst=LINES, seconds=SECONDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        omitted = self._sampler.take()
        if omitted is None:
            return False
        name = (
            error.name if isinstance(error, Refusal) else type(error).__name__
        )  # its message quotes the request
        record.msg += ": %s" + (f" ({omitted} like it omitted)" if omitted else "")
        record.args = (*_arguments(record), name)
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def _arguments(record: logging.LogRecord) -> tuple[object, ...]:
    return record.args if isinstance(record.args, tuple) else ()


@cache
def logger() -> logging.Logger:
    """Return aiohttp's connection logger, with the filter added once."""
    log = logging.getLogger("aiohttp.server")
    log.addFilter(OneLine())
    return log


def respond(status: int, message: str) -> web.Response:
    """Return the response to a malformed request. `message` is aiohttp's, which quotes the request; it is not shown."""
    sentence = next(text for start, text in SENTENCES.items() if message.startswith(start))
    return early_refusals.respond(Refusal(HTTPStatus(status), "bad_request", sentence))
