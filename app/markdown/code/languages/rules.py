r"""The parts of a language, read by `app/markdown/code/scanning.py`.

The expression of a rule finds starts, and must take linear time from any position. It therefore repeats only single
character classes, possessively (`#[^\n]*+`), and nothing that can fail follows an unbounded repetition, unless a `^` or
a word before it leaves a single place to start. `tests/markdown/test_colours.py` tests every language with texts that
would be slow otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """A match of one expression, in one colour; skipped if `kind` is empty."""

    kind: str
    opens: str


@dataclass(frozen=True, slots=True)
class Span:
    r"""A comment or string between two delimiters. An unclosed one extends to the end of the text, or of the line."""

    kind: str
    opens: str  # a regular expression, with one group at most
    closes: str  # literal text; `\1` in it stands for the text of the group
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

    opens: str
    attributes: Language
    closes: str = ""
    content: Language | None = None


Rule = Pattern | Span | Heredoc | Tag
Words = frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """What is coloured in a language. The defaults fit most of them."""

    rules: tuple[Rule, ...] = ()  # the first match counts; tried before words and numbers
    keywords: Words = frozenset()
    types: Words = frozenset()  # keywords; a name between one and a parenthesis is a definition
    defining: Words = frozenset()  # keywords; the name after one is a definition
    known: Words = frozenset()
    word: str = r"[^\W\d]\w*+"
    followed: tuple[tuple[str, str], ...] = ()  # the class of a word, and the expression that must follow it
    gaps: frozenset[str] = frozenset()  # the text allowed between a type and a function name
    leaves: str = ""  # the regular expression that ends this language inside another
    ignores_case: bool = False  # if true, the words are in lower case
    has_regex: bool = False  # regex literals between slashes
    no_numbers: bool = False
    no_members: bool = False  # otherwise a word after a dot is a name, even if it is a keyword
