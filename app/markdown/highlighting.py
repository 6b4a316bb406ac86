"""Code as HTML: spans for what the page colours and for nothing else, in boxes of some lines, laid out in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

from app.markdown.bounds import COLOURED_LENGTH, Deadline, TooMuchError
from app.markdown.plain import escape

BOX_LINES = 32

# The languages of answers. The others that Pygments knows are grammars that nobody here has looked at.
_NAMES = """
    asm bash bat batch bibtex c c# c++ cfg clj clojure cmake cpp cs csharp css dart diff docker dockerfile elixir elm
    erlang ex f# fish fortran fsharp go golang graphql groovy haskell hcl hs html http ini java javascript js json
    jsx julia kotlin latex lisp lua make makefile markdown matlab md nasm nginx nim nix objc objective-c objectivec
    ocaml perl php pl powershell proto protobuf ps1 py python r racket rb rs rst ruby rust sass scala scheme scss sh
    shell solidity sql swift terraform tex tf toml ts tsx typescript verilog vhdl vim vue xml yaml yml zig zsh
"""
LANGUAGES = frozenset(_NAMES.split())
# What the page's style sheet colours. Each span costs a page that is being read time: a name or a bracket has none.
CLASSES = {
    Comment: "comment",
    String.Doc: "comment",
    Keyword: "keyword",
    Operator.Word: "keyword",
    Name.Tag: "keyword",
    String: "string",
    Name.Class: "defined",
    Name.Decorator: "defined",
    Name.Exception: "defined",
    Name.Function: "defined",
    Name.Attribute: "known",
    Name.Builtin: "known",
    Name.Constant: "known",
    Number: "known",
    Generic.Deleted: "deleted",
    Generic.Inserted: "inserted",
}
_lexers: dict[str, Lexer] = {}  # those that were needed so far
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def code(text: str, language: str, deadline: Deadline) -> str:
    """Return the inner HTML of `<code>`. Raises `TooMuchError` after the deadline."""
    known = language.lower() in LANGUAGES and len(text) <= COLOURED_LENGTH
    lexer = _lexer(language.lower(), deadline) if known else None
    lines = list(_coloured(text, lexer, deadline) if lexer else map(escape, _LINE.findall(text)))
    boxes = (lines[first : first + BOX_LINES] for first in range(0, len(lines), BOX_LINES))
    return "".join(f'<span class="lines">{"".join(box)}</span>' for box in boxes)


def _lexer(language: str, deadline: Deadline) -> Lexer:
    lexer = _lexers.get(language)
    if lexer is None:
        if deadline.hasty:
            raise TooMuchError(f"the grammar of {language} has to be loaded first")
        lexer = _lexers[language] = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return lexer


def _coloured(text: str, lexer: Lexer, deadline: Deadline) -> Iterator[str]:
    """Yield line after line, each with its end. No span reaches from one line into the next."""
    line: list[tuple[str, str]] = []
    for kind, value in lexer.get_tokens(text):
        deadline.check()
        for part in _LINE.findall(value):
            line.append((_class(kind), part))
            if part.endswith("\n"):
                yield _spans(line)
                line.clear()
    if line:
        yield _spans(line)


def _spans(line: list[tuple[str, str]]) -> str:
    """Return a line's HTML: one span for what stands side by side in one colour."""
    return "".join(
        _span(name, "".join(text for _, text in parts)) for name, parts in groupby(line, itemgetter(0))
    )


def _span(name: str, text: str) -> str:
    return f'<span class="{name}">{escape(text)}</span>' if name and not text.isspace() else escape(text)


@cache
def _class(kind: Any) -> str:
    """Return the class of a kind of Pygments: that of the nearest one above it that has one, or nothing."""
    while kind is not None and kind not in CLASSES:
        kind = kind.parent
    return CLASSES.get(kind, "")
