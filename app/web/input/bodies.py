"""Reads and validates ids, headers, query parameters and JSON bodies, and writes JSON responses."""

from __future__ import annotations

import asyncio
import codecs
import re
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from app.chat.ports import Options
from app.log.cursors import Cursor
from app.web.app_keys import KEY, LIMITS
from app.web.http.body_type import body_type
from app.web.input.json_shape import check_shape
from app.web.input.reading import read
from app.web.problems import ProblemError

T = TypeVar("T")
N = TypeVar("N", int, float)

ID_PATTERN = "[A-Za-z0-9_-]{1,64}"
KEY_PATTERN = "[!-~]{1,255}"
URLENCODED = "application/x-www-form-urlencoded"
PIECE = 64 * 1024  # bytes
LONGEST_QUOTE = 200  # characters
FORMS = (URLENCODED, "multipart/form-data")


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/sessions/{session_id}`: the fields to change."""

    title: str | None = None
    options: Options | None = None


def path_id(request: web.Request, name: str) -> str:
    """Return an id from the path. Raises a 422 if it is malformed."""
    return checked_id(request.match_info[name], name)


def checked_id(value: str, name: str) -> str:
    """Return `value`. Raises a 422 that names `name` if it is not a well-formed id."""
    if not re.fullmatch(ID_PATTERN, value):
        raise ProblemError(422, "invalid_id", f"{name} must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")
    return value


def idempotency_key(request: web.Request) -> str | None:
    """Return the header `Idempotency-Key`, else the key that this node gave the request, if any.

    Raises a 422 unless it is 1 to 255 printable ASCII characters.
    """
    key = request.headers.get("Idempotency-Key", request.get(KEY))
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise ProblemError(
            422, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable characters."
        )
    return key


def asked_cursor(request: web.Request) -> Cursor | str | None:
    """Return the cursor of a request: the header `Last-Event-ID`, else `?after=` or its synonym `?cursor=`.

    A malformed cursor is returned as text. Like an unknown one, it is rejected with an event in the stream.
    """
    query = request.query
    text = request.headers.get("Last-Event-ID") or query.get("after") or query.get("cursor")
    return (Cursor.parse(text) or text) if text else None


def number(request: web.Request, name: str, default: N, *, least: N, most: N) -> N:
    """Return a query parameter as a number of the type of `default`. Raises a 422 outside `least` to `most`."""
    kind = type(default)
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, ValueError):
        value = least - 1
    if not least <= value <= most:
        noun = "a whole number" if kind is int else "a number"
        raise ProblemError(422, "invalid_query", f"{name} must be {noun} from {least:g} to {most:g}.")
    return value


async def json_body(request: web.Request, kind: type[T]) -> T:
    """Return the JSON body as `kind`. Raises a 400, 413, 415 or 422 with the reason, and what `feed` raises."""
    if body_type(request) != "application/json":
        raise ProblemError(
            415, "unsupported_media_type", "Send the body as `Content-Type: application/json`."
        )
    limits = request.app[LIMITS]
    data = await read(request, limits.max_body_bytes)
    try:
        check_shape(data, limits.max_prompt_bytes)
        if len(data) > PIECE:
            # The look at the largest body takes as long as its decoding, so others come in between.
            await asyncio.sleep(0)
        _check_utf8(data)
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "invalid_request", f"Invalid request: {quoted(error)}.") from error
    except UnicodeDecodeError as error:
        raise ProblemError(
            400, "invalid_utf8", "The body isn't valid UTF-8. Send the text as UTF-8."
        ) from error
    except (msgspec.DecodeError, ValueError) as error:  # a `ValueError`: a number of thousands of digits
        raise ProblemError(400, "invalid_json", f"The body isn't valid JSON: {quoted(error)}.") from error
    except RecursionError as error:
        raise ProblemError(422, "invalid_request", "The body is nested too deeply.") from error


def quoted(error: Exception) -> str:
    """Return what a decoder says. It quotes the body, which may be one name of megabytes."""
    sentence = str(error)
    return sentence if len(sentence) <= LONGEST_QUOTE else f"{sentence[:LONGEST_QUOTE]}…"


def _check_utf8(data: bytes | bytearray) -> None:
    """Raise `UnicodeDecodeError` unless all of it is UTF-8 (RFC 8259, section 8.1).

    msgspec validates only the strings that it keeps. In pieces, because a large body must not be copied whole.
    """
    if len(data) <= PIECE:
        data.decode()
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), PIECE):
        decoder.decode(data[start : start + PIECE])
    decoder.decode(b"", final=True)


def respond_json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return `value` as a JSON response. API responses must not be cached."""
    headers = {"Cache-Control": "no-store", **(headers or {})}
    data = msgspec.json.encode(value)
    return web.Response(status=status, body=data, content_type="application/json", headers=headers)
