"""Renders templates as pages, in the reader's language. Pages are not cached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import aiohttp_jinja2
import jinja2
from aiohttp import hdrs, web
from babel.numbers import get_decimal_symbol, get_group_symbol
from jinja2.runtime import Context
from jinja2.utils import htmlsafe_json_dumps

from app.chat.states import Outcome
from app.web.app_keys import BASE, SIGNS_IN
from app.web.assets import folders
from app.web.assets.static_files import static_files
from app.web.http.addresses import at
from app.web.i18n import translations
from app.web.i18n.error_texts import SENTENCES, said, said_note, words
from app.web.i18n.labels import label, label_words
from app.web.i18n.translations import Language
from app.web.page import reader_choices
from app.web.page.compiled_templates import CompiledTemplates
from app.web.rules import RULES

PART = 16 * 1024  # characters of a page that are encoded together
PAGE_DATA = web.AppKey(
    "page_data", dict[str, str]
)  # by language: for the scripts, as JSON that is safe in HTML


async def set_up(app: web.Application) -> None:
    """Signal `on_startup`: load the templates and languages in a thread, because reading them is slow."""
    languages = await asyncio.to_thread(translations.load, folders.folder("translations"))
    app[translations.LANGUAGES] = languages
    app[PAGE_DATA] = {
        code: str(htmlsafe_json_dumps(page_data(language))) for code, language in languages.items()
    }
    app[aiohttp_jinja2.APP_KEY] = await asyncio.to_thread(environment)


def page_data(language: Language) -> dict[str, Any]:
    """Return what a page passes to its scripts: their texts in a language, and the rules that templates follow too."""
    return {
        "words": {**words(language), **label_words(language)},
        "plural": language.plural,
        "rules": RULES,
    }


@cache
def environment() -> jinja2.Environment:
    """Return the templates, compiled now: compiling them on first use would block the event loop."""
    environment: Any = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders.folder("templates")),
        bytecode_cache=CompiledTemplates(),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)
    environment.globals.update(
        said=_said, said_note=_said_note, label=_label, number=_number, sentence=_sentence, rules=RULES
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return cast("jinja2.Environment", environment)


def render(
    request: web.Request, template: str, context: Mapping[str, Any], *, status: int = 200
) -> web.Response:
    """Render a template as a page, with the variables that all pages share."""
    found = aiohttp_jinja2.get_env(request.app).get_template(template)
    return web.Response(
        status=status,
        body=_encoded(found.generate({**_shared(request), **context})),
        content_type="text/html",
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def _encoded(parts: Iterable[str]) -> bytearray:
    """Return parts of a page in UTF-8, encoded before they are joined.

    One emoji in a string makes each of its characters take four bytes: of a page all, of a part only these.
    """
    page, some, size = bytearray(), list[str](), 0
    for part in parts:
        some.append(part)
        size += len(part)
        if size >= PART:
            page += "".join(some).encode()
            some, size = [], 0
    page += "".join(some).encode()
    return page


def in_parts(text: str) -> Iterator[str]:
    """Yield a text for a template that shows it once, in parts that are escaped and encoded each by itself.

    Jinja's contexts are freed by the garbage collector, late. A generator that has ended no longer holds the text.
    """
    for start in range(0, len(text), PART):
        yield text[start : start + PART]


class Macros:
    """The macros of a template as methods. They return HTML."""

    def __init__(self, request: web.Request, template: str, context: Mapping[str, Any]) -> None:
        found = aiohttp_jinja2.get_env(request.app).get_template(template)
        self._module: Any = found.make_module({**_shared(request), **context})

    def __getattr__(self, name: str) -> Callable[..., str]:
        macro = getattr(self._module, name)
        return lambda *values: str(macro(*values))  # a `Markup` would escape what is added to it


def render_text(request: web.Request, template: str, context: Mapping[str, Any]) -> str:
    """Render a part of a page, with the same variables."""
    return aiohttp_jinja2.render_string(template, request, {**_shared(request), **context})


def _shared(request: web.Request) -> dict[str, Any]:
    languages = request.app[translations.LANGUAGES]
    chosen = reader_choices.of(request)
    language = translations.of(request)
    return {
        "base": request.app[BASE],
        "signs_in": request.app[SIGNS_IN],
        "static": at(request, static_files().address),
        "language": language,
        "page_data": request.app[PAGE_DATA][language.code],
        "languages": languages.values(),
        "chosen_language": chosen.language,
        "theme": chosen.theme,
        "single_keys": chosen.single_keys,
        # An iPad or an iPhone says so, too.
        "on_apple": "Mac OS X" in request.headers.get(hdrs.USER_AGENT, ""),
    }


@jinja2.pass_context
def _said(context: Context, code: str, sentence: str) -> str:
    return said(context["language"], code, sentence)


@jinja2.pass_context
def _said_note(context: Context, note: str) -> str:
    return said_note(context["language"], note)


@jinja2.pass_context
def _label(context: Context, outcome: Outcome | None, finish_reason: str | None) -> str:
    return label(context["language"], outcome, finish_reason)


@jinja2.pass_context
def _sentence(context: Context, code: str) -> str:
    """Return the text for an error code."""
    return said(context["language"], code, SENTENCES[code])


@jinja2.pass_context
def _number(context: Context, value: float, digits: int = 0) -> str:
    """Return a number as the reader's language writes it, with so many digits behind the point."""
    return f"{value:,.{digits}f}".translate(_separators(context["language"].code))


@cache
def _separators(code: str) -> dict[int, str]:
    """Return what replaces the separators of English. Babel's own formatting takes too long for a page of numbers."""
    return str.maketrans({",": get_group_symbol(code), ".": get_decimal_symbol(code)})


@jinja2.pass_context
def _gettext(context: Context, sentence: str) -> str:
    return str(context["language"].sentences.gettext(sentence))


@jinja2.pass_context
def _ngettext(context: Context, singular: str, plural: str, number: int) -> str:
    return str(context["language"].sentences.ngettext(singular, plural, number))
