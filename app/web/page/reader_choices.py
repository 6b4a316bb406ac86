"""A reader's preferences: theme, language, shortcuts. They are stored in cookies, so that the server can apply them."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web

from app.web.i18n.translations import COOKIE as LANGUAGE

THEME = "tailrace_theme"
SINGLE_KEYS = "tailrace_single_keys"
THEMES = ("system", "light", "dark")
OFF = "off"
SECONDS = 365 * 24 * 3600  # the lifetime of the cookies


class ReaderChoices(NamedTuple):
    """The preferences of one reader. An empty `language` means the browser's own setting."""

    theme: str = "system"
    language: str = ""
    single_keys: bool = True  # whether single-key shortcuts are on


def of(request: web.Request) -> ReaderChoices:
    """Return the preferences in a request's cookies, with defaults for missing or invalid ones."""
    cookies = request.cookies
    theme = cookies.get(THEME, "")
    return ReaderChoices(
        theme if theme in THEMES else "system", cookies.get(LANGUAGE, ""), cookies.get(SINGLE_KEYS) != OFF
    )


def keep(response: web.StreamResponse, choices: ReaderChoices, path: str) -> None:
    """Set the cookies for `path`; delete those of default values."""
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
