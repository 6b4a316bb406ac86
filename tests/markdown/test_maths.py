"""Formulas."""

from __future__ import annotations

import pytest

from app.markdown.document import document
from app.markdown.maths import maths
from tests.markdown.shown import Shown


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("$$x$$", "block"),
        ("$$\nx\n$$", "block"),
        ("\\[\nx\n\\]", "block"),
        ("\\[x\\]", "block"),
        ("a \\(x\\) b", "inline"),
        ("a $$x$$ b", "block"),
        ("a \\[ x \\] b", "block"),
        ("- a\n\n  $$\n  x\n  $$", "block"),
        ("> \\[\n> x\n> \\]", "block"),
        ("text\n$$\nx\n$$\nmore", "block"),
    ],
)
def test_formulas_are_mathml(text: str, display: str) -> None:
    """Whichever delimiters a model takes, alone or in a line."""
    html = "".join(document(text).blocks)
    assert f'<math display="{display}"><mrow><mi>x</mi></mrow></math>' in html
    assert Shown(html).wrong == []
    assert "$" not in html


@pytest.mark.parametrize(
    "text", ["$x$", "$5 or $6", "\\$\\$x\\$\\$", "`$$x$$`", "$$\n\nx\n\n$$", "$$", "\\\\(x\\\\)", "$$ open"]
)
def test_not_every_dollar_is_maths(text: str) -> None:
    """One dollar, an escaped one, one in code, and a pair around blank lines are text."""
    assert "<math" not in "".join(document(text).blocks)


@pytest.mark.parametrize(
    "source",
    [
        r"\unknown{x}",
        r"\frac{a",
        r"\left(",
        r"\newcommand{\a}{b}\a",
        r"\def\a{b}\a",
        "{" * 100 + "}" * 100,
        "x" * 2001,
        "a & b",
        "^^",
    ],
)
def test_what_cannot_be_converted_is_shown_as_it_is(source: str) -> None:
    """An unknown command, a broken formula, one that is too long, too deep, or defines commands."""
    assert Shown(maths(source, "inline")).text == source
    assert maths(source, "inline").startswith('<code class="maths">')


def test_environments_of_equations_are_known() -> None:
    """Models write `aligned` and `gathered` more often than anything else."""
    for name in ("aligned", "gathered", "dcases", "cases", "pmatrix", "align*"):
        html = maths(rf"\begin{{{name}}} a &= b \\ c &= d \end{{{name}}}", "block")
        assert "<mtable" in html, name
        assert "&amp;" not in html, name


def test_text_in_a_formula_is_text() -> None:
    """The converter leaves markup alone; here it is escaped."""
    html = document(r"\(\text{<b>&lt;} x < y\)").blocks[0]
    assert "<mtext>&lt;b&gt;&lt;</mtext>" in html
    assert Shown(html).wrong == []
