"""What requests carry, as typed structs, and how it is read from JSON, forms, paths and queries."""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import hdrs, web

from app.streams.frames import Cursor
from app.streams.ports import Options
from app.streams.session import IfActive
from app.web.keys import LIMITS
from app.web.problems import ProblemError

T = TypeVar("T")
N = TypeVar("N", int, float)

ID_PATTERN = "[A-Za-z0-9_-]{1,64}"
KEY_PATTERN = "[!-~]{1,255}"
URLENCODED = "application/x-www-form-urlencoded"
FORMS = (URLENCODED, "multipart/form-data")


class NewStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/sessions/{session_id}/streams`."""

    prompt: str
    model: str | None = None
    options: Options = Options()
    if_active: IfActive = "supersede"


class Renaming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/sessions/{session_id}`."""

    title: str


def path_id(request: web.Request, name: str) -> str:
    """Return an id from the path. Raises a 422 if it is not one."""
    value = request.match_info[name]
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
    """Return the cursor that a viewer comes with: the header `Last-Event-ID` wins over `?after=`.

    A text that is no cursor is returned as it is: it is answered in the stream, like one that is unknown.
    """
    text = request.headers.get("Last-Event-ID") or request.query.get("after")
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
        raise ProblemError(422, "invalid_request", f"The body does not fit: {error}.") from error
    except UnicodeDecodeError as error:
        raise ProblemError(400, "invalid_utf8", "The body is not UTF-8. Send the text as UTF-8.") from error
    except msgspec.DecodeError as error:
        raise ProblemError(400, "invalid_json", f"The body is not JSON: {error}.") from error


async def form_body(request: web.Request) -> NewStream:
    """Return a form's prompt and model. Raises a 4xx if there is no text in it, or if it is not UTF-8."""
    try:
        if request.content_type == URLENCODED:
            # aiohttp would replace what is not UTF-8: a prompt is taken as it was typed, or not at all.
            unquote_to_bytes(await request.read()).decode()
        form = await request.post()
    except (ValueError, LookupError) as error:  # not UTF-8, broken multipart; an unknown charset
        raise ProblemError(400, "invalid_form", "The form could not be read. Send it as UTF-8.") from error
    prompt, model = form.get("prompt", ""), form.get("model", "")
    if not isinstance(prompt, str) or not isinstance(model, str):
        raise ProblemError(422, "invalid_request", "Send the prompt as text, not as a file.")
    # Browsers send line ends as CR LF (WHATWG HTML, section 4.10.22); the prompt has the ones that were typed.
    return NewStream(prompt=prompt.replace("\r\n", "\n"), model=model or None)


async def draft(request: web.Request) -> str:
    """Return the prompt of a form that was refused, whatever else is wrong with it; empty if it cannot be read."""
    try:
        return (await form_body(request)).prompt
    except ProblemError:
        return ""


async def new_stream(request: web.Request) -> NewStream:
    """Return the body of a POST of a prompt, JSON or form, with its prompt checked."""
    is_form = request.content_type in FORMS
    body = await (form_body(request) if is_form else json_body(request, NewStream))
    if not body.prompt.strip():
        raise ProblemError(422, "prompt_empty", "The prompt is empty. Write something to answer.")
    limit = request.app[LIMITS].max_prompt_bytes
    size = len(body.prompt.encode(errors="surrogatepass"))
    if size > limit:
        raise ProblemError(
            413, "prompt_too_long", f"The prompt has {size} bytes; {limit} is the most. Shorten it."
        )
    return body


def request_hash(body: NewStream) -> str:
    """Return what tells a repeated request from another one under the same idempotency key."""
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


def accepts(request: web.Request, media_type: str) -> bool:
    """Tell whether the `Accept` header names this media type."""
    return media_type in request.headers.get(hdrs.ACCEPT, "")


def respond_json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return `value` as JSON. Nothing of this API may be stored by a cache."""
    headers = {"Cache-Control": "no-store", **(headers or {})}
    data = msgspec.json.encode(value)
    return web.Response(status=status, body=data, content_type="application/json", headers=headers)
