"""Malformed HTTP requests: a 400 that says what to do, and one line in the log.

Anyone can send garbage. Tracebacks would let strangers fill the log, and formatting them blocks the event loop. A
malformed request never reaches the application, so the response is made here.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from app.web.http.accept import PROBLEM
from app.web.security.host_and_origin import PROXY_ADVICE

# By the prefix of aiohttp's message; the first match counts.
SENTENCES = {
    "Missing 'Host'": f"The request has no Host. {PROXY_ADVICE}",
    "Duplicate 'Host'": f"The request has more than one Host. {PROXY_ADVICE}",
    "Received HTTPS": "This port speaks plain HTTP. Use http://, or put a proxy with TLS in front.",
    "Pause on PRI": "This port speaks HTTP/1.1. HTTP/2 is for a proxy in front.",
    "Got more than": "The address or a header of the request is too long: 8190 bytes is the limit.",
    "": "This is not a valid HTTP request.",
}


class OneLine(logging.Filter):
    """Reduces the log record of a malformed request to one line. Other records pass unchanged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg += ": %s"
            record.args = (*(record.args or ()), type(error).__name__)  # its message quotes the request
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


@cache
def logger() -> logging.Logger:
    """Return aiohttp's connection logger, with the filter added once."""
    log = logging.getLogger("aiohttp.server")
    log.addFilter(OneLine())
    return log


class Protocol(web.RequestHandler):
    """A connection that answers malformed requests with problem+json, like the application's own errors."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp, whose own response body quotes the request and the parser's message."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError) and isinstance(response, web.Response):
            detail = next(text for start, text in SENTENCES.items() if (message or "").startswith(start))
            body = {"type": "about:blank", "title": "Bad Request", "status": status, "code": "bad_request"}
            response.body = msgspec.json.encode({**body, "detail": detail})
            response.content_type, response.charset = PROBLEM, None
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application with `Protocol` connections. aiohttp has no public API to set the connection class."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        server: Any = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
