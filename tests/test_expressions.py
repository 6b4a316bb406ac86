"""No regular expression of the product can be made slow: a match holds the interpreter, and so the whole server."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.cost import measured

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LENGTHS = (16, 24, 32, 300, 20_000)  # an exponential one is found before it takes for ever
LONGEST = (
    0.1  # s of processor time for one search in so many characters; a linear one takes a few ms at the most
)
USES = ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
# Expressions that are made when they are needed, and who tries them.
MADE = {
    "app/markdown/code/scanning.py": "of the tables of languages: tests/markdown/test_colours.py tries all of them",
    "app/backends/http/refusals.py": "a word in the place of a name, in a message that is cut short before",
    "app/backends/errors/bodies.py": "the name of a tag, letter by letter",
    "app/backends/errors/redaction.py": "secrets of the operator, letter by letter",
    "app/backends/errors/masking.py": "secrets of the operator: tests/backends/test_masking.py tries them",
    "app/config/servers.py": "for what the operator has written",
}
# Those that see nothing but what the project itself has written.
TRUSTED = {"app/web/assets/joining.py"}


class Expression(NamedTuple):
    """One expression, and how it is used."""

    where: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    methods: tuple[str, ...]  # `search`, which begins at every place, `match` and `fullmatch`


class Use(NamedTuple):
    """One call of `re`."""

    path: Path
    call: ast.Call
    methods: tuple[str, ...]


def uses() -> Iterator[Use]:
    """Find the calls of `re` in all modules of the product."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {
            id(node.value): target.id
            for node in nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        used: dict[str, set[str]] = {}
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used.setdefault(node.value.id, set()).add(node.attr)
        for node in nodes:
            if isinstance(node, ast.Call) and is_of_re(node.func):
                methods = used.get(names.get(id(node), ""), set()) or {
                    ast.unparse(node.func).removeprefix("re.")
                }
                tried = {
                    each if each in ("match", "fullmatch") else "search" for each in methods - {"pattern"}
                }
                yield Use(path, node, tuple(sorted(tried)))


def is_of_re(node: ast.expr) -> bool:
    """Tell whether this is `re.search` or the like."""
    return isinstance(node, ast.Attribute) and node.attr in USES and ast.unparse(node.value) == "re"


def evaluated(path: Path, call: ast.Call) -> re.Pattern[str] | re.Pattern[bytes] | None:
    """Return the pattern of a call, from the names of its module; `None` if it is made of others."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    known = vars(importlib.import_module(name.removesuffix(".__init__")))
    flags = [word.value for word in call.keywords if word.arg == "flags"]
    flags += [word for word in call.args[1:] if "re." in ast.unparse(word)]
    try:
        pattern, flag = (
            eval(ast.unparse(node), known) for node in (call.args[0], *flags, ast.Constant(0))[:2]
        )
        return re.compile(pattern, flag)
    except NameError:
        return None


def characters(pattern: str) -> list[str]:
    """Return what the pattern speaks of: its literals, something of each class, and something of none."""
    plain = re.sub(r"\\[wWdDsSbBAZ]", "", pattern)
    found = {letter for letter in plain if not letter.isalnum()} | set(re.findall(r"[A-Za-z0-9]", plain)[:3])
    return sorted(found | {"a", "1", " ", "\n", "!", "\\"} - {"\0"})


def texts(pattern: str, length: int) -> Iterator[str]:
    """Return texts that repeat what the pattern speaks of, and end as it may not expect."""
    letters = characters(pattern)
    words = re.findall(r"[A-Za-z]{2,}", pattern)[:3]
    for piece in [*letters, *words, *map("".join, product(letters[:11], repeat=2))]:
        for end in ("", "\n!"):
            yield (piece * length)[:length] + end


def slow(pattern: re.Pattern[str] | re.Pattern[bytes], methods: tuple[str, ...] = ("search",)) -> str:
    """Return a text that keeps the pattern busy, in short; or nothing."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    for length in LENGTHS:
        for text in texts(source, length):
            subject = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
            for method in methods:
                find: Any = getattr(pattern, method)
                took, _ = measured(partial(find, subject), LONGEST)
                if took > LONGEST:
                    return f"{method} in {length} characters of {text[:6]!r}, and {text[-3:]!r}"
    return ""


def expressions() -> list[Expression]:
    """Return all that can be tried here."""
    found = []
    for path, call, methods in uses():
        pattern = evaluated(path, call)
        if pattern is not None and str(path.relative_to(ROOT)) not in TRUSTED:
            found.append(Expression(f"{path.relative_to(ROOT)}:{call.lineno}", pattern, methods))
    return found


FOUND = expressions()


@pytest.mark.parametrize("expression", FOUND, ids=[expression.where for expression in FOUND])
def test_no_text_keeps_it_busy(expression: Expression) -> None:
    """Whatever is repeated in the text, a search takes a time that grows with its length."""
    assert slow(expression.pattern, expression.methods) == ""


def test_all_others_are_known() -> None:
    """An expression that is made at run time is tried by a test of its own."""
    others = {str(path.relative_to(ROOT)) for path, call, _ in uses() if evaluated(path, call) is None}
    assert others == set(MADE)


@pytest.mark.parametrize("bad", [r"(a|a)*$", r"\s+$", r"(x+x+)+y", r"^(\w+ ?)*\Z", r"<[^>]*>\s*x"])
def test_it_would_be_noticed(bad: str) -> None:
    """The search for slow texts finds some, for exponential and for quadratic expressions."""
    assert slow(re.compile(bad))


def test_a_whole_match_is_tried_as_such() -> None:
    """It has to try every cut of what a match from the beginning takes at once."""
    pattern = re.compile(r"[0-9]*\.?[0-9]*")
    assert not slow(pattern, ("match",))
    assert slow(pattern, ("fullmatch",))


def test_this_reads_the_product() -> None:
    """It finds what there is."""
    assert len(FOUND) > 30
    assert "app.markdown.plain" in sys.modules


def test_no_group_is_possessive() -> None:
    """Before CPython 3.11.5 such a group matches wrongly (python/cpython#106052); a set of characters does not."""
    groups = re.compile(r"\)[*+?]\+|\)\{[0-9,]+\}\+")
    found = {
        f"{use.path.relative_to(ROOT)}:{use.call.lineno}"
        for use in uses()
        for part in ast.walk(use.call)
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes)
        if groups.search(part.value if isinstance(part.value, str) else part.value.decode("latin-1"))
    }
    assert found == set()
