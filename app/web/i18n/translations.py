"""The languages of the page: gettext catalogues, loaded at startup, and the choice of language for a request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations, c2py
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web
from babel import Locale
from babel.core import negotiate_locale
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from app.web.http.accept import KNOWN, members
from app.web.http.cookies import values

SOURCE = "en"  # the language of templates and scripts
COOKIE = "tailrace_language"
SCRIPTS = "static/"  # messages from files under this folder are passed to the page's scripts
# The numbers whose plural form the scripts are told. Rules depend on a number below 200, on its remainder by 100, or on
# whether it is a multiple of a million (French, Spanish); see `tn` in static/state/i18n.js.
COUNTED = (*range(200), 1_000_000)


class Language(NamedTuple):
    """A language: its code as in `lang`, its name in itself, all its messages, and those that scripts need.

    `plural` has a digit for each number in `COUNTED`: the index of its plural form. It is empty for the source.
    """

    code: str
    name: str
    sentences: NullTranslations
    words: Mapping[str, str | list[str]]
    plural: str = ""


SOURCE_LANGUAGE = Language(SOURCE, "English", NullTranslations(), {})
Languages = Mapping[str, Language]

LANGUAGES = web.AppKey("languages", dict[str, Language])


@cache
def load(folder: Path) -> dict[str, Language]:
    """Read `<language>/LC_MESSAGES/messages.po` of every language; the source comes first.

    Raises `OSError`, `PoFileError`.
    """
    languages = {SOURCE: Language(SOURCE, _name(SOURCE), NullTranslations(), {})}
    for path in sorted(folder.glob("*/LC_MESSAGES/messages.po")):
        code = path.parent.parent.name
        with path.open("rb") as file:
            catalog = read_po(file, locale=code, abort_invalid=True)
        _drop_unfinished(catalog)
        words, plural = _words(catalog), _plural(catalog)
        languages[code] = Language(code, _name(code), _compiled(catalog), words, plural)
    return languages


def of(request: web.Request) -> Language:
    """Return the language of a request: from its cookie, else by `Accept-Language`."""
    languages = request.app[LANGUAGES]
    chosen = languages.get(next(reversed(values(request, COOKIE)), ""))
    return chosen or languages[negotiate(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""), languages)]


def negotiate(accepted: str, languages: Languages) -> str:
    """Return the code of the language that an `Accept-Language` header prefers; `SOURCE` if none matches."""
    return _negotiated(accepted, tuple(languages))


@lru_cache(KNOWN)  # browsers send few different headers
def _negotiated(accepted: str, codes: tuple[str, ...]) -> str:
    liked = sorted(members(accepted), key=lambda member: -member.weight)
    wanted = [member.value for member in liked if member.weight > 0]
    found = negotiate_locale(wanted, codes, sep="-") or SOURCE
    return next((code for code in codes if code.lower() == found.lower()), SOURCE)


def _name(code: str) -> str:
    return Locale.parse(code).get_display_name(code) or code


def _drop_unfinished(catalog: Catalog) -> None:
    """Remove what is untranslated, in doubt, or without one of its plural forms: it is shown in the source language."""
    for message in list(catalog):
        if not message.id:
            continue  # the header
        count = 1 if isinstance(message.id, str) else catalog.num_plurals
        forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
        if message.fuzzy or len(forms) != count or not all(forms):
            catalog.delete(message.id, message.context)


def _plural(catalog: Catalog) -> str:
    form = c2py(catalog.plural_expr)
    return "".join(str(form(number)) for number in COUNTED)


def _compiled(catalog: Catalog) -> GNUTranslations:
    binary = BytesIO()
    write_mo(binary, catalog)
    binary.seek(0)
    return GNUTranslations(binary)


def _words(catalog: Catalog) -> dict[str, str | list[str]]:
    """Return the messages for scripts, keyed by source text, or by its singular if there are plural forms."""
    return {
        message.id if isinstance(message.id, str) else message.id[0]: (
            message.string if isinstance(message.string, str) else list(message.string or ())
        )
        for message in catalog
        if any(place.startswith(SCRIPTS) for place, _ in message.locations)
    }
