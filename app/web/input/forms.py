"""How a form is read: its fields as text, and what was typed into one that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from app.web.input.bodies import URLENCODED
from app.web.problems import ProblemError


async def read_form(request: web.Request) -> Mapping[str, Any]:
    """Return the fields of a form, files among them. Raises a 400 if it is not UTF-8, or broken."""
    try:
        if request.content_type == URLENCODED:
            # aiohttp would replace what is not UTF-8: a prompt is taken as it was typed, or not at all.
            unquote_to_bytes(await request.read()).decode()
        return await request.post()
    except (ValueError, LookupError) as error:  # not UTF-8, broken multipart; an unknown charset
        raise ProblemError(400, "invalid_form", "Couldn't read the form. Send it as UTF-8.") from error


async def text_form(request: web.Request) -> dict[str, str]:
    """Return the texts of a form, with the line ends that were typed; its files are left out. Raises a 400."""
    fields = await read_form(request)
    # Browsers send line ends as CR LF (WHATWG HTML, section 4.10.22).
    return {name: value.replace("\r\n", "\n") for name, value in fields.items() if isinstance(value, str)}


async def typed(request: web.Request) -> dict[str, str]:
    """Return the texts of a form that was refused, whatever is wrong with it; nothing if it cannot be read."""
    try:
        return await text_form(request)
    except ProblemError:
        return {}
