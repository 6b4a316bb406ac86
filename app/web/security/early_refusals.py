"""Requests that are refused by their headers alone, before the application is asked and a byte of the body is read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import _ErrInfo

from app.web.http.accept import PROBLEM
from app.web.problems import RETRY_AFTER
from app.web.security import headers

# What is split before a request is let in. Browsers send a tenth of it; a header of 8 KiB has room for thousands, and
# aiohttp's router looks a path up once for each of its slashes.
MOST_SLASHES = 64
MOST_MEMBERS, MOST_PARAMETERS = 64, 128  # of a list, and of all its members
MOST_COOKIES = 200  # browsers keep no more than 180 for a site
LISTS = (
    hdrs.ACCEPT,
    hdrs.ACCEPT_LANGUAGE,
    hdrs.ACCEPT_ENCODING,
    hdrs.IF_NONE_MATCH,
    hdrs.IF_MATCH,
    hdrs.RANGE,
    hdrs.X_FORWARDED_FOR,
    hdrs.FORWARDED,
)


class Refusal(HttpProcessingError):
    """Why a request is refused. `message` is the sentence that the client gets; it quotes nothing."""

    def __init__(self, status: HTTPStatus, name: str, sentence: str) -> None:
        super().__init__(code=status, message=sentence)
        self.name = name  # the problem's stable code
        self.info = _ErrInfo(status, self, sentence)  # what aiohttp has in the place of such a request


COMPRESSED = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "compressed_body",
    "Compressed request bodies aren't accepted. Send the body without `Content-Encoding`.",
)
TRANSFER_CODED = Refusal(
    HTTPStatus.NOT_IMPLEMENTED,
    "compressed_body",
    "`chunked` is the only transfer coding that is accepted. Send the body uncompressed.",
)
EXPECTATION = Refusal(
    HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "`100-continue` is the only `Expect` that is known."
)
LONG_HEAD = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    "The headers of the request are too large: 16 KiB is the limit. Deleting cookies may help.",
)
LONG_PATH = Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG,
    "address_too_long",
    f"The address has too many parts: {MOST_SLASHES} slashes is the limit.",
)
LONG_LIST = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    f"A header of the request lists too much: {MOST_MEMBERS} values is the limit.",
)
MANY_COOKIES = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    f"The request has too many cookies: {MOST_COOKIES} is the limit. Delete those of this site.",
)
FULL = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_connections",
    "Too many open connections. Try again in a moment.",
)
SLOW_HEAD = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request didn't arrive in time. Send it again."
)


def refusal_of(message: RawRequestMessage) -> Refusal | None:
    """Return why a request is refused, judged by its headers; `None` if it is not."""
    sent = message.headers
    coding = sent.get(hdrs.CONTENT_ENCODING)
    if coding is not None and coding.strip().lower() != "identity":
        return COMPRESSED
    if message.chunked and sent.get(hdrs.TRANSFER_ENCODING, "").strip().lower() != "chunked":
        return TRANSFER_CODED
    expected = sent.get(hdrs.EXPECT)
    if expected is not None and expected.strip().lower() != "100-continue":
        return EXPECTATION
    return _too_long(message)


def _too_long(message: RawRequestMessage) -> Refusal | None:
    """Return why a request would be too much work. This counts separators, and splits nothing itself."""
    if message.path.partition("?")[0].count("/") > MOST_SLASHES:
        return LONG_PATH
    sent = message.headers
    for name in LISTS:
        if name in sent:
            lines = sent.getall(name)
            if _parts(lines, ",") > MOST_MEMBERS or _parts(lines, ";") > MOST_MEMBERS + MOST_PARAMETERS:
                return LONG_LIST
    if hdrs.COOKIE in sent and _parts(sent.getall(hdrs.COOKIE), ";") > MOST_COOKIES:
        return MANY_COOKIES
    return None


def _parts(lines: list[str], separator: str) -> int:
    return len(lines) + sum(line.count(separator) for line in lines)


def body(status: int, code: str, sentence: str) -> bytes:
    """Return a problem as JSON (RFC 9457)."""
    title = HTTPStatus(status).phrase
    fields = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": sentence}
    return msgspec.json.encode(fields)


def respond(refusal: Refusal) -> web.Response:
    """Return the response to a refused request."""
    response = web.Response(
        status=refusal.code,
        body=body(refusal.code, refusal.name, refusal.message),
        content_type=PROBLEM,
        headers=_headers(refusal),
    )
    response.force_close()
    return response


def raw(refusal: Refusal) -> bytes:
    """Return the same as bytes, for a request whose headers are incomplete."""
    content = body(refusal.code, refusal.name, refusal.message)
    fields: dict[str, Any] = {
        **_headers(refusal),
        "Content-Type": PROBLEM,
        "Content-Length": len(content),
    }
    lines = [f"HTTP/1.1 {refusal.code} {HTTPStatus(refusal.code).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _headers(refusal: Refusal) -> dict[str, str]:
    retry = {"Retry-After": RETRY_AFTER} if refusal.code == HTTPStatus.SERVICE_UNAVAILABLE else {}
    own = {"Server": headers.SERVER, "Cache-Control": "no-store", "Connection": "close"}
    return {**headers.HEADERS, **own, **retry}
