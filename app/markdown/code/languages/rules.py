r"""What the table of a language is made of. All of it is data, which `app/markdown/code/scanning.py` reads.

An expression of a rule finds where something begins, and has to be linear wherever that search starts. So it repeats
single classes, possessively (`#[^\n]*+`), and after a repetition without bound nothing follows that can fail, unless a
`^` or a word before it leaves one place to begin. `tests/markdown/test_colours.py` tries every language with texts that
would show the opposite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is found as a whole, and has one colour; with an empty `kind` it is passed over."""

    kind: str
    opens: str


@dataclass(frozen=True, slots=True)
class Span:
    """What runs from a beginning to its end: a comment, a string. What is never closed runs on to the end."""

    kind: str
    opens: str  # an expression
    closes: str | Callable[[str], str]  # a text, or what makes it of the text that opened
    escape: str = ""  # a character that takes away the meaning of the next one
    one_line: bool = False
    nests: str = ""  # a text that opens it once more
    is_doc: bool = False  # where it begins a line, it is a comment


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A string that begins in the next line, and ends with the line that holds nothing but the mark."""

    opens: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of markup with its attributes, and what stands in it up to `closes` where that is another language."""

    kind: str
    opens: str
    attributes: Language
    closes: str = ""
    content: Callable[[], Language] | None = None


Rule = Pattern | Span | Heredoc | Tag


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A language. Words are given in one text, with blanks between them."""

    rules: tuple[Rule, ...] = ()  # the first that fits counts; they come before words and numbers
    keywords: str = ""
    types: str = ""  # coloured as keywords; a name between one and a parenthesis is defined
    defining: str = ""  # keywords; the name after one is defined
    known: str = ""
    word: str = r"[^\W\d]\w*+"
    followed: tuple[tuple[str, str], ...] = ()  # the colour of a word before what an expression matches
    gaps: frozenset[str] = frozenset()  # what may be between a type and the name of a function
    ignores_case: bool = False  # then words are given in lower case
    has_numbers: bool = True
    has_members: bool = True  # a word after a dot is a name, whatever it is elsewhere
    has_regex: bool = False  # expressions between slashes
    leaves: str = ""  # an expression that ends this language inside another


def line_comment(opens: str) -> Pattern:
    """Return a comment up to the end of the line."""
    return Pattern("comment", opens + r"[^\n]*+")


def block_comment(opens: str, closes: str, *, nests: bool = False) -> Span:
    """Return a comment between two marks, which are texts."""
    return Span("comment", re.escape(opens), closes, nests=opens if nests else "")


def quoted(
    mark: str, *, prefix: str = "", lines: bool = False, escape: str = "\\", doc: bool = False
) -> Span:
    """Return a string between two equal marks, perhaps after letters, perhaps over several lines."""
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
CHARACTER = Pattern("string", r"'(?:\\[^\n']{0,9}+'|\\''|[^'\\\n]')")  # where an apostrophe may stand alone
DECORATOR = Pattern("defined", r"@[^\W\d][\w.]*+")
C_GAPS = frozenset({" ", "\n", " *", "* ", " **", "** ", "& ", " &", "> ", "] ", "::", "? "})
