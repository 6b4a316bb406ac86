"""The form handler of the preferences panel."""

from __future__ import annotations

from aiohttp import web

from app.web.http.addresses import cookie_path, local_path
from app.web.http.see_other import see_other
from app.web.i18n import translations
from app.web.input.forms import SMALL, text_form
from app.web.page.reader_choices import THEMES, ReaderChoices, keep


async def post_preferences(request: web.Request) -> web.StreamResponse:
    """POST /preferences: 303 to `next`, with the preferences as cookies."""
    form = await text_form(request, SMALL)
    theme, language = form.get("theme", ""), form.get("language", "")
    choices = ReaderChoices(
        theme=theme if theme in THEMES else "system",
        language=language if language in request.app[translations.LANGUAGES] else "",
        single_keys="single_keys" in form,
    )
    response = see_other(local_path(request, form.get("next", "")))
    keep(response, choices, cookie_path(request))
    return response
