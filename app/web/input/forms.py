"""Reads forms: their fields, and the text to keep when a form is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from app.web.input.bodies import URLENCODED
from app.web.problems import ProblemError


async def read_form(request: web.Request) -> Mapping[str, Any]:
    """Return the fields of a form, including files. Raises a 400 if it is malformed or not UTF-8."""
    try:
        if request.content_type == URLENCODED:
            # aiohttp would replace invalid UTF-8. A prompt must be accepted unchanged or rejected.
            unquote_to_bytes(await request.read()).decode()
        return await request.post()
    except (ValueError, LookupError) as error:  # invalid UTF-8 or multipart; unknown charset
        raise ProblemError(400, "invalid_form", "Couldn't read the form. Send it as UTF-8.") from error


async def text_form(request: web.Request) -> dict[str, str]:
    """Return the text fields of a form, with LF line endings. Raises a 400."""
    fields = await read_form(request)
    # Browsers send line endings as CR LF (WHATWG HTML, section 4.10.22).
    return {name: value.replace("\r\n", "\n") for name, value in fields.items() if isinstance(value, str)}


async def typed(request: web.Request) -> dict[str, str]:
    """Return the text fields of a rejected form; empty if it cannot be read."""
    try:
        return await text_form(request)
    except ProblemError:
        return {}
