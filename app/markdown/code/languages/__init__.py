r"""The languages that are highlighted, by the names that models use: the tables beside this module, one section each.

A section's title has all names of the language; a name that starts with a dot is only for other sections. `like` is a
language whose rules and words are added, and whose other values are the defaults; `words` adds only the words.

A line of rules has names from `shared.ini`, or one rule: its kind, an expression, and for a span ` … `, the literal
text that closes it, and options: the escape character, `line` (the line ends it, too), `doc`, or `nests:` and the text
that opens a nested span. A tag may have ` … `, the text that ends its content, and the language of that content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from configparser import ConfigParser, SectionProxy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from app.markdown.code.languages.rules import Heredoc, Language, Pattern, Rule, Span, Tag

Find = Callable[[str], Language]

_SHARED = ".rules"
_SHARED_NAMES = re.compile(r"[A-Z_ ]+")
_BLANKS = str.maketrans("␣⏎", " \n")  # how a table writes them
_WORDS = ("keywords", "types", "defining", "known")
_VALUES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_WORDS, lambda text: frozenset(text.split())),
    "word": str,
    "followed": lambda text: tuple(tuple(line.split(" ", 1)) for line in text.split("\n")),
    "gaps": lambda text: frozenset(gap.translate(_BLANKS) for gap in text.split()),
    "leaves": str,
    "flags": str.split,
}


def _load() -> dict[str, Language]:
    tables = ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    tables.read(Path(__file__).parent.glob("*.ini"), encoding="utf-8")
    titles = {name: title for title in tables.sections() for name in title.split()}

    @cache
    def language(title: str) -> Language:
        return _language(tables[title], tables[_SHARED], lambda name: language(titles[name]))

    return {name: language(title) for name, title in titles.items() if not name.startswith(".")}


def _language(table: SectionProxy, shared: SectionProxy, find: Find) -> Language:
    like = find(table["like"]) if "like" in table else Language()
    words = find(table["words"]) if "words" in table else like
    if unknown := table.keys() - _VALUES.keys() - {"like", "words", "rules"}:
        raise ValueError(f"[{table.name}] has unknown keys: {unknown}")
    values = {name: value(table[name]) for name, value in _VALUES.items() if name in table}
    values |= {name: values.get(name, frozenset()) | getattr(words, name) for name in _WORDS}
    values |= dict.fromkeys(values.pop("flags", ()), True)
    rules = [rule for line in table.get("rules", "").split("\n") for rule in _rules(line, shared, find)]
    return replace(like, rules=(*rules, *like.rules), **values)


def _rules(line: str, shared: SectionProxy, find: Find) -> Iterator[Rule]:
    if not line or _SHARED_NAMES.fullmatch(line):
        for name in line.split():
            yield from _rules(shared[name], shared, find)
        return
    kind, _, rest = line.partition(" ")
    opens, _, end = rest.partition(" … ")
    closes, *options = end.replace(r"\n", "\n").split(" ")
    if kind == "heredoc":
        yield Heredoc(opens)
    elif kind == "tag":
        yield Tag(opens, find(".attributes"), closes, find(options[0]) if options else None)
    elif closes:
        yield _span(kind, opens, closes, options)
    else:
        yield Pattern("" if kind == "plain" else kind, opens)


def _span(kind: str, opens: str, closes: str, options: list[str]) -> Span:
    return Span(
        kind,
        opens,
        closes,
        escape=next((option for option in options if len(option) == 1), ""),
        one_line="line" in options,
        nests=next((option[6:] for option in options if option.startswith("nests:")), ""),
        is_doc="doc" in options,
    )


LANGUAGES = _load()
