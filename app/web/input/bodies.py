"""What requests carry, as typed structs, and how it is read from JSON, forms, paths and queries."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from app.chat.ports import Options
from app.log.cursors import Cursor
from app.web.problems import ProblemError

T = TypeVar("T")
N = TypeVar("N", int, float)

ID_PATTERN = "[A-Za-z0-9_-]{1,64}"
KEY_PATTERN = "[!-~]{1,255}"
URLENCODED = "application/x-www-form-urlencoded"
FORMS = (URLENCODED, "multipart/form-data")


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/sessions/{session_id}`: the fields to change."""

    title: str | None = None
    options: Options | None = None


def path_id(request: web.Request, name: str) -> str:
    """Return an id from the path. Raises a 422 if it is not one."""
    return checked_id(request.match_info[name], name)


def checked_id(value: str, name: str) -> str:
    """Return an id. Raises a 422 if it is not one."""
    if not re.fullmatch(ID_PATTERN, value):
        raise ProblemError(422, "invalid_id", f"{name} must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")
    return value


def idempotency_key(request: web.Request) -> str | None:
    """Return the header `Idempotency-Key`, if there is one. Raises a 422 if it is not printable ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise ProblemError(
            422, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable characters."
        )
    return key


def asked_cursor(request: web.Request) -> Cursor | str | None:
    """Return the cursor that a viewer comes with: the header `Last-Event-ID` wins over the query.

    There it is `?after=`, or `?cursor=`, which means the same. A text that is no cursor is returned as it is: it is
    answered in the stream, like one that is unknown.
    """
    query = request.query
    text = request.headers.get("Last-Event-ID") or query.get("after") or query.get("cursor")
    return (Cursor.parse(text) or text) if text else None


def number(request: web.Request, name: str, default: N, *, least: N, most: N) -> N:
    """Return a number from the query, a whole one if `default` is. Raises a 422 outside of its limits."""
    kind = type(default)
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        value = least - 1
    if not least <= value <= most:
        noun = "a whole number" if kind is int else "a number"
        raise ProblemError(422, "invalid_query", f"{name} must be {noun} from {least:g} to {most:g}.")
    return value


async def json_body(request: web.Request, kind: type[T]) -> T:
    """Return the JSON body as `kind`. Raises a 4xx that says what to do."""
    if request.content_type != "application/json":
        raise ProblemError(
            415, "unsupported_media_type", "Send the body as `Content-Type: application/json`."
        )
    data = await request.read()
    try:
        # JSON is UTF-8 (RFC 8259, section 8.1), and msgspec checks that only for the strings it keeps.
        data.decode()
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "invalid_request", f"Invalid request: {error}.") from error
    except UnicodeDecodeError as error:
        raise ProblemError(
            400, "invalid_utf8", "The body isn't valid UTF-8. Send the text as UTF-8."
        ) from error
    except msgspec.DecodeError as error:
        raise ProblemError(400, "invalid_json", f"The body isn't valid JSON: {error}.") from error


def respond_json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return `value` as JSON. Nothing of this API may be stored by a cache."""
    headers = {"Cache-Control": "no-store", **(headers or {})}
    data = msgspec.json.encode(value)
    return web.Response(status=status, body=data, content_type="application/json", headers=headers)
