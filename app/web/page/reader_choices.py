"""What a reader chose for the page: theme, language, shortcuts. It is kept in cookies, so the server renders it."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web

from app.web.i18n.translations import COOKIE as LANGUAGE

THEME = "tailrace_theme"
SINGLE_KEYS = "tailrace_single_keys"
THEMES = ("system", "light", "dark")
OFF = "off"
SECONDS = 365 * 24 * 3600  # that a choice is remembered


class ReaderChoices(NamedTuple):
    """The choices of one reader. `language` is empty where the browser's own setting counts."""

    theme: str = "system"
    language: str = ""
    single_keys: bool = True  # whether a single key may be a shortcut


def of(request: web.Request) -> ReaderChoices:
    """Return the choices that a request carries; what makes no sense counts as not chosen."""
    cookies = request.cookies
    theme = cookies.get(THEME, "")
    return ReaderChoices(
        theme if theme in THEMES else "system", cookies.get(LANGUAGE, ""), cookies.get(SINGLE_KEYS) != OFF
    )


def keep(response: web.StreamResponse, choices: ReaderChoices, path: str) -> None:
    """Let the browser remember the choices for all that is under `path`."""
    values = {
        THEME: choices.theme if choices.theme != "system" else "",
        LANGUAGE: choices.language,
        SINGLE_KEYS: "" if choices.single_keys else OFF,
    }
    for name, value in values.items():
        if value:
            response.set_cookie(name, value, max_age=SECONDS, path=path, httponly=True, samesite="Lax")
        else:
            response.del_cookie(name, path=path)
