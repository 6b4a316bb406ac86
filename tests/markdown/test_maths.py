"""Formulas."""

from __future__ import annotations

import pytest

from app.markdown.html.mathml import maths
from tests.markdown.rendered import document
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
        ("1. a:\n   \\[\n   x\n   \\]\n2. b", "block"),
        ("> - $$x$$", "block"),
        ("| a |\n|---|\n| \\(x\\) |", "inline"),
        ("a $x$ b", "inline"),
        ("设$x$为", "inline"),
        ("the $x$th, $x$-axis, ($x$), **$x$**", "inline"),
        ("- $x$", "inline"),
        ("| a |\n|---|\n| $x$ |", "inline"),
        ("it costs $5, $x$ costs more", "inline"),
        ("\\$5 and $x$", "inline"),
        ("$`x`$", "inline"),
        ("2$x$ and 3", "inline"),
    ],
)
def test_formulas_are_mathml(text: str, display: str) -> None:
    """Whichever delimiters a model takes, alone or in a line."""
    html = "".join(document(text).blocks)
    assert f'<math display="{display}"><mrow><mi>x</mi></mrow></math>' in html
    assert Shown(html).wrong == []
    assert "$x" not in html


@pytest.mark.parametrize(
    "text",
    [
        *("$5 or $6", "\\$\\$x\\$\\$", "`$$x$$`", "$$\n\nx\n\n$$", "$$", "\\\\(x\\\\)", "$$ open"),
        *("$ x$", "$x $", "$x$5", "\\$x\\$", "\\$x$", "$x\\$", "`$x$`", "$x\n\ny$", "$", "$$$", "a$", "$a"),
        *("$20,000 and USD$30,000", "$5-$10", "$5/$6", "US$5 and A$6", "5$ or 6$", "a 5$-bill, a 10$-bill"),
        *(
            "$5, or 5$.",
            "R$ 12,29 (ca. R$ 15,83/m)",
            "$HOME and $PATH.",
            "use $HOME or `$PATH`",
            "$1,550/$15.4",
        ),
        "**$148+ → $19**（省 **87%**，年省 ~$1,550）；再降到 $15.4/月",
    ],
)
def test_not_every_dollar_is_maths(text: str) -> None:
    """No space inside, no digit after it: prices, variables, escaped dollars and those in code are text."""
    html = "".join(document(text).blocks)
    assert "<math" not in html
    assert Shown(html).wrong == []
    assert Shown(html).text.count("$") == text.count("$")


def test_a_unit_follows_its_number() -> None:
    """As Pandoc has it: only a dollar after the formula decides."""
    for text, sign in ((r"30$^\circ$C", "∘"), (r"2$\pi$r", "π"), (r"10$\mu$m", "μ")):
        assert (
            f"<mo>{sign}</mo>" in document(text).blocks[0] or f"<mi>{sign}</mi>" in document(text).blocks[0]
        )
    for text in ("it is 5$USD and 3$CAD", "5$/10$", "1$-2$", "5$ and 6$"):
        assert "<math" not in document(text).blocks[0]


def test_a_dollar_may_stand_in_a_formula() -> None:
    """Escaped, as in LaTeX."""
    assert "<mi>$</mi><mn>0.60</mn>" in document(r"odds of $\$0.60$ a share").blocks[0]


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
