"""Reads forms: their fields, and the text to keep when a form is rejected."""

from __future__ import annotations

from aiohttp import web
from multidict import MultiDict

from app.chat.sizes import utf8_size
from app.web.app_keys import LIMITS
from app.web.http.body_type import body_type
from app.web.input import multipart_body, urlencoded
from app.web.input.bodies import URLENCODED
from app.web.input.multipart_body import Field
from app.web.input.reading import read
from app.web.input.text_room import TextRoom
from app.web.problems import ProblemError

SMALL = 8 * 1024  # bytes of a form without long texts
LONG_TEXTS = ("prompt", "example", "system", "stop")  # the fields that may hold any text of the form's size
SHORT = 1000  # characters of any other field that is shown again

FORM = web.RequestKey("form", MultiDict[Field])


async def read_form(request: web.Request, most: int | None = None) -> MultiDict[Field]:
    """Return the fields of a form, including files.

    Raises a 400 if it is malformed or not UTF-8, a 413 if its texts are too long, and what `feed` raises. `most` is the
    greatest size in bytes, by default that of a prompt with images. A second call returns the same fields; if the form
    was refused, those before the flaw.
    """
    if FORM in request:
        return request[FORM]
    fields = request[FORM] = MultiDict[Field]()
    limits = request.app[LIMITS]
    room = TextRoom(limits.max_prompt_bytes)
    bound = limits.max_body_bytes if most is None else most
    try:
        if body_type(request) == URLENCODED:
            data = await read(request, min(bound, urlencoded.LONGEST * room.bytes))
            for name, value in urlencoded.parse(data):
                room.take(utf8_size(name) + utf8_size(value))
                fields.add(name, value)
        elif body_type(request) == "multipart/form-data":
            await multipart_body.read(request, bound, room, fields)
    except ValueError as error:  # malformed, or invalid UTF-8
        raise ProblemError(400, "invalid_form", "Couldn't read the form. Send it as UTF-8.") from error
    return fields


async def text_form(request: web.Request, most: int | None = None) -> dict[str, str]:
    """Return the text fields of a form, with LF line endings. Takes and raises what `read_form` does."""
    fields = await read_form(request, most)
    # Browsers send line endings as CR LF (WHATWG HTML, section 4.10.22).
    return {name: value.replace("\r\n", "\n") for name, value in fields.items() if isinstance(value, str)}


async def small_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form that anyone may send. Raises a 413 or 415 before it reads one that is too costly."""
    if body_type(request) != URLENCODED:
        raise ProblemError(415, "unsupported_media_type", f"Send the form as `Content-Type: {URLENCODED}`.")
    fields = await read_form(request, SMALL)
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def typed(request: web.Request) -> dict[str, str]:
    """Return the text fields of a rejected form, as far as they could be read. Only `LONG_TEXTS` are whole."""
    try:
        texts = await text_form(request)
    except ProblemError:
        return {}
    return {name: value if name in LONG_TEXTS else value[:SHORT] for name, value in texts.items()}
