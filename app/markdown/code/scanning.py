"""Finds the coloured pieces of code in linear time: one pass, without going back.

The grammars of highlighters are backtracking regular expressions. Some texts make those quadratic or exponential, and
a match holds the interpreter lock until it is done: threads, signals and deadlines cannot interrupt it. Here a
language is a table (its words, and the delimiters of its comments and strings), and expressions only find starts.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from app.markdown.code.languages.rules import Heredoc, Language, Pattern, Rule, Span, Tag

Coloured = tuple[str, str]  # the class of a piece of code, empty for no colour, and the piece
REGEX_LENGTH = 256  # characters of a regex literal
_NUMBER = r"0[xX][\da-fA-F_]++\w*+|\d[\d_]*+(?:\.\d[\d_]*+)?(?:[eE][+-]?\d++)?\w*+"
_REGEX_MARKS = re.compile(r"[/\\\[\]\n]")
_BEFORE_REGEX = frozenset("(,=:[!&|?{};~+-*%<>^")  # after any other character a slash means division


class _Compiled(NamedTuple):
    """A language with its expressions compiled."""

    find: re.Pattern[str]  # finds the next start; the group's name is the rule
    rules: dict[str, Rule]
    kinds: dict[str, str]  # the class of each word that has one
    followed: tuple[tuple[str, re.Pattern[str]], ...]


def scan(text: str, language: Language) -> list[Coloured]:
    """Return the pieces of `text` in order; joined, they are `text`."""
    scanner = _Scanner(text)
    scanner.run(language, 0, len(text))
    scanner.put("", len(text), len(text))
    return [(kind, text[start:end]) for kind, start, end in scanner.pieces]


@cache
def _compiled(language: Language) -> _Compiled:
    rules = {f"rule{number}": rule for number, rule in enumerate(language.rules)}
    opens = {"leave": language.leaves} | {name: rule.opens for name, rule in rules.items()}
    opens |= {"regex": "/(?![/*])" if language.has_regex else "", "word": language.word}
    opens |= {"number": "" if language.no_numbers else rf"(?<![\w.])(?:{_NUMBER})"}
    alternatives = "|".join(f"(?P<{name}>{opening})" for name, opening in opens.items() if opening)
    return _Compiled(
        re.compile(alternatives, re.MULTILINE | (re.IGNORECASE if language.ignores_case else 0)),
        rules,
        dict.fromkeys(language.known, "known")
        | dict.fromkeys(language.keywords | language.types | language.defining, "keyword"),
        tuple((kind, re.compile(after)) for kind, after in language.followed),
    )


class _Scanner:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.pieces: list[tuple[str, int, int]] = []  # class, begin, end; neighbours of one class are merged
        self._text = text
        self._done = 0  # what is before it is in `pieces`
        self._no_regex = 0  # up to there none begins: no end is looked for twice

    def put(self, kind: str, start: int, end: int) -> None:
        """Add the text skipped before `start` without a class, then the piece from `start` to `end`."""
        if start > self._done:
            self.pieces.append(("", self._done, start))
        if end > start:
            if self.pieces and self.pieces[-1][0] == kind:
                start = self.pieces.pop()[1]
            self.pieces.append((kind, start, end))
        self._done = max(start, end)

    def run(self, language: Language, position: int, end: int, *, in_line: bool = False) -> int:
        """Colour from `position`; return where the language ends, at most `end`."""
        compiled = _compiled(language)
        words = _Words(self._text, language, compiled, position)
        while (found := compiled.find.search(self._text, position, end)) is not None:
            begin, position = found.span()
            name = found.lastgroup
            if name == "word":
                self._put_coloured(words.kind(begin, position), begin, position)
                continue
            if name == "leave":
                return position
            if name == "number":
                self._put_coloured("known", begin, position)
            elif name == "regex":
                may_begin = begin >= self._no_regex and words.allow_regex(begin)
                position = self._regex(begin, end) if may_begin else position
            else:
                position = self._apply(language, compiled.rules[str(name)], found, end, in_line=in_line)
            words.interrupt(position)
        return end

    def _put_coloured(self, kind: str, start: int, end: int) -> None:
        if kind:
            self.put(kind, start, end)

    def _apply(self, language: Language, rule: Rule, found: re.Match[str], end: int, *, in_line: bool) -> int:
        """Colour the match of a rule; return its end."""
        begin, after = found.span()
        match rule:
            case Pattern(kind):
                if kind:
                    self.put(kind, after - len(found[0].lstrip()), after)
                return after
            case Span(kind):
                stop = _end_of(rule, self._text, found, end)
                self.put("comment" if rule.is_doc and self._begins_line(begin) else kind, begin, stop)
                return stop
            case Tag():
                self.put("keyword", begin, after)
                return self._tag(rule, after, end)
            case Heredoc():
                return after if in_line else self._heredoc(language, found, end)

    def _begins_line(self, position: int) -> bool:
        """Return whether only whitespace precedes `position` in its line."""
        before, newline, indent = self._text[self._done : position].rpartition("\n")
        return not indent.strip() and bool(newline or (not before and not self._done))

    def _regex(self, begin: int, end: int) -> int:
        """Colour a regex literal; return its end, or the position after the slash if it is not closed."""
        position, in_class = begin + 1, False
        end = min(end, begin + REGEX_LENGTH)
        while (found := _REGEX_MARKS.search(self._text, position, end)) is not None and found[0] != "\n":
            position = found.end() + (1 if found[0] == "\\" else 0)
            if found[0] == "/" and not in_class:
                while position < end and self._text[position].isalpha():
                    position += 1
                self.put("string", begin, position)
                return position
            if found[0] in "[]":
                in_class = found[0] == "["
        self._no_regex = found.start() if found else end
        return begin + 1

    def _heredoc(self, language: Language, found: re.Match[str], end: int) -> int:
        """Colour the rest of the line, then the lines up to the one that contains only the mark."""
        self.put("string", *found.span())
        line_end = self._text.find("\n", found.end(), end)
        if line_end < 0:
            return found.end()
        self.run(language, found.end(), line_end, in_line=True)
        mark = found[0].lstrip("<-~ ").strip("'\"\\")
        stop = line_end
        while stop < end:
            start, stop = stop + 1, self._text.find("\n", stop + 1, end)
            stop = end if stop < 0 else stop
            if self._text[start:stop].strip() == mark:
                break
        self.put("string", line_end, stop)
        return stop

    def _tag(self, rule: Tag, position: int, end: int) -> int:
        position = self.run(rule.attributes, position, end)
        if rule.content is None:
            return position
        stop = self._text.find(rule.closes, position, end)
        return self.run(rule.content, position, end if stop < 0 else stop)


class _Words:
    """Determines the classes of successive words."""

    def __init__(self, text: str, language: Language, compiled: _Compiled, start: int) -> None:
        self._text = text
        self._language = language
        self._compiled = compiled
        self._end = start  # the end of the last item
        self._expects = False  # whether the last word defines the next one
        self._last = ""  # the kind of the last item: "type", "name", the class of a word, or empty

    def interrupt(self, end: int) -> None:
        """Record an item that is not a word and ends at `end`."""
        self._end, self._expects, self._last = end, False, ""

    def allow_regex(self, begin: int) -> bool:
        """Return whether the slash at `begin` may start a regex literal; otherwise it means division."""
        before = self._text[self._end : begin].rstrip()
        return before[-1] in _BEFORE_REGEX if before else self._last == "keyword"

    def kind(self, begin: int, end: int) -> str:
        """Return the class of the next word; empty if it has none."""
        language, compiled = self._language, self._compiled
        word = self._text[begin:end]
        if language.ignores_case:
            word = word.lower()
        gap = self._text[self._end : begin]
        self._end = end
        kind = compiled.kinds.get(word, "")
        if kind and not language.no_members and gap.endswith(".") and not gap.endswith(".."):
            kind = ""
        return self._defined(word, kind, gap, end) or self._followed(end) or kind

    def _defined(self, word: str, kind: str, gap: str, end: int) -> str:
        """Return "defined" if the word is a name defined here, else empty; update the state for the next word."""
        last, expected = self._last, self._expects and gap.strip() in ("", ".", "*", "&")
        is_receiver = expected and self._text.startswith(".", end)
        self._expects = is_receiver or word in self._language.defining
        self._last = "type" if word in self._language.types else (kind or "name")
        if is_receiver or kind == "keyword":
            return ""
        is_typed = last in ("type", "name") and gap in self._language.gaps
        return "defined" if expected or (is_typed and self._text.startswith("(", end)) else ""

    def _followed(self, end: int) -> str:
        for kind, after in self._compiled.followed:
            if after.match(self._text, end):
                return kind
        return ""


def _end_of(span: Span, text: str, found: re.Match[str], end: int) -> int:
    """Return the end of a comment or string. If it is not closed, that is the end of the text or of the line."""
    closes = span.closes
    if r"\1" in closes:
        closes = closes.replace(r"\1", found[(found.lastindex or 0) + 1])  # the group inside that of the rule
    if not (span.escape or span.one_line or span.nests):
        stop = text.find(closes, found.end(), end)
        return end if stop < 0 else stop + len(closes)
    depth, position = 1, found.end()
    marks = _marks(closes, span.nests, span.escape, span.one_line)
    while (mark := marks.search(text, position, end)) is not None:
        position = mark.end()
        if mark[0] == closes:
            depth -= 1
        elif mark[0] == "\n":
            return mark.start()
        elif mark[0] == span.nests:
            depth += 1
        else:
            position += 1  # skip the escaped character
        if not depth:
            return min(position, end)
    return end


@cache
def _marks(closes: str, nests: str, escape: str, one_line: bool) -> re.Pattern[str]:
    marks = (closes, nests, escape, "\n" if one_line else "")
    return re.compile("|".join(re.escape(mark) for mark in marks if mark))
