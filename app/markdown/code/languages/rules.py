r"""The parts of a language table: plain data, read by `app/markdown/code/scanning.py`.

The expression of a rule finds starts, and must take linear time from any position. It therefore repeats only single
character classes, possessively (`#[^\n]*+`), and nothing that can fail follows an unbounded repetition, unless a `^` or
a word before it leaves a single place to start. `tests/markdown/test_colours.py` tests every language with texts that
would be slow otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """A match of one expression, in one colour; skipped if `kind` is empty."""

    kind: str
    opens: str


@dataclass(frozen=True, slots=True)
class Span:
    """A comment or string between two delimiters. An unclosed one extends to the end of the text, or of the line."""

    kind: str
    opens: str  # a regular expression
    closes: str | Callable[[str], str]  # literal text, or a function from the opening text to it
    escape: str = ""  # the character that escapes the next one
    one_line: bool = False
    nests: str = ""  # the literal text that opens a nested span
    is_doc: bool = False  # coloured as a comment at the start of a line


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A string that starts on the next line and ends with a line that contains only the mark."""

    opens: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A markup tag with its attributes, and its content up to `closes` if that is in another language."""

    kind: str
    opens: str
    attributes: Language
    closes: str = ""
    content: Callable[[], Language] | None = None


Rule = Pattern | Span | Heredoc | Tag


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A language. Word lists are strings separated by whitespace."""

    rules: tuple[Rule, ...] = ()  # the first match counts; tried before words and numbers
    keywords: str = ""
    types: str = ""  # coloured as keywords; a name between a type and a parenthesis is a definition
    defining: str = ""  # keywords; the name after one is a definition
    known: str = ""
    word: str = r"[^\W\d]\w*+"
    followed: tuple[tuple[str, str], ...] = ()  # the class of a word, and the expression that must follow it
    gaps: frozenset[str] = frozenset()  # the text allowed between a type and a function name
    ignores_case: bool = False  # if true, the word lists are in lower case
    has_numbers: bool = True
    has_members: bool = True  # a word after a dot is a name, even if it is a keyword
    has_regex: bool = False  # regex literals between slashes
    leaves: str = ""  # the regular expression that ends this language inside another


def line_comment(opens: str) -> Pattern:
    """Return a comment that extends to the end of the line. `opens` is a regular expression."""
    return Pattern("comment", opens + r"[^\n]*+")


def block_comment(opens: str, closes: str, *, nests: bool = False) -> Span:
    """Return a comment between two delimiters, which are literal text."""
    return Span("comment", re.escape(opens), closes, nests=opens if nests else "")


def quoted(
    mark: str, *, prefix: str = "", lines: bool = False, escape: str = "\\", doc: bool = False
) -> Span:
    """Return a string between two equal delimiters. `prefix` is a regular expression; `lines` allows line breaks."""
    return Span("string", prefix + mark, mark, escape=escape, one_line=not lines, is_doc=doc)


SLASHES = line_comment("//")
HASH = line_comment("#")
DASHES = line_comment("--")
STARS = block_comment("/*", "*/")
NESTED_STARS = block_comment("/*", "*/", nests=True)
DOUBLE = quoted('"')
SINGLE = quoted("'")
BACKTICKS = quoted("`", lines=True)
TEXT_BLOCK = quoted('"""', lines=True)
CHARACTER = Pattern("string", r"'(?:\\[^\n']{0,9}+'|\\''|[^'\\\n]')")  # for languages with lone apostrophes
DECORATOR = Pattern("defined", r"@[^\W\d][\w.]*+")
C_GAPS = frozenset({" ", "\n", " *", "* ", " **", "** ", "& ", " &", "> ", "] ", "::", "? "})
