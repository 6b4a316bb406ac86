"""What a block looks like."""

from __future__ import annotations

import re
from html import unescape

import pytest

from app.markdown.code.highlighting import BOX_LINES
from app.markdown.html.rendering import render
from app.markdown.html.sanitizing import sanitize
from tests.markdown.rendered import document, opened
from tests.markdown.shown import Shown


def shown(text: str) -> Shown:
    """Render a text that has ended, and look at it."""
    found = Shown("".join(document(text).blocks))
    assert found.wrong == []
    return found


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>"),
        ("a <a>b</a> &amp; c", "<p>a &lt;a&gt;b&lt;/a&gt; &amp; c</p>"),
        ("3. a\n4. b", '<ol start="3" dir="auto">\n<li>a</li>\n<li>b</li>\n</ol>'),
        ("a  \nb", "<p>a<br>\nb</p>"),
        ("$5 and $6", "<p>$5 and $6</p>"),
        ("- [ ] a", '<ul dir="auto">\n<li><span class="task">☐</span> a</li>\n</ul>'),
        ("1. [X] *a*", '<ol dir="auto">\n<li><span class="task done">☑</span> <em>a</em></li>\n</ol>'),
        (
            "- [x] a\n\n  b",
            '<ul dir="auto">\n<li>\n<p><span class="task done">☑</span> a</p>\n<p>b</p>\n</li>\n</ul>',
        ),
    ],
)
def test_markdown_is_html(text: str, html: str) -> None:
    """CommonMark with strikethrough; raw HTML is text."""
    assert document(text).blocks == [html]


@pytest.mark.parametrize(
    "text",
    [
        "- [] a",
        "- [y] a",
        "- [x]a",
        "- \\[x] a",
        "- &#91;x] a",
        "- a [x] b",
        "[x] a",
        "- # [x] a",
        "- `[x] a`",
        "- > [x] a",
    ],
)
def test_other_brackets_are_no_task(text: str) -> None:
    """One is at the beginning of an item, of its text, and a space follows."""
    assert "task" not in shown(text).classes
    assert "x]" in shown(text).text or "[x]" not in text


def test_a_link_is_no_task() -> None:
    """Brackets whose address is told elsewhere are a link."""
    found = shown("- [x] a\n\n[x]: https://example.org\n")
    assert found.links == ["https://example.org"]
    assert found.classes == []


def test_links_leave_the_page_alone() -> None:
    """They open elsewhere, tell nobody where from, and lead to http, https and mail only."""
    html = document("[a](https://example.org '\"t\"') [b](mailto:a@example.org) [c](/settings)").blocks[0]
    assert html.count('target="_blank" rel="noopener noreferrer nofollow"') == 2
    assert 'title="&quot;t&quot;"' in html
    assert "[c](/settings)" in Shown(html).text


def test_an_image_is_a_link() -> None:
    """Nothing is fetched from another site unless the reader asks for it."""
    found = shown("![a *b*](https://example.org/a.png) ![](https://example.org/b.png)")
    assert found.links == ["https://example.org/a.png", "https://example.org/b.png"]
    assert found.text == "a b https://example.org/b.png"


def test_an_image_in_a_link_is_its_words() -> None:
    """A link in a link would be two links."""
    found = shown("[![badge](https://example.org/b.svg)](https://example.org/build)")
    assert (found.links, found.text) == (["https://example.org/build"], "badge")


def test_code_has_classes_and_no_styles() -> None:
    """They say what is coloured, under the language's; the text is untouched."""
    code = 'def f(x):\n    """Doc\n    of two lines."""\n    return x < 1  # é\n'
    found = shown(f"```python title=x\n{code}```")
    assert found.text.rstrip("\n") == code.rstrip("\n")
    assert set(found.classes) == {"language-python", "lines", "keyword", "defined", "comment", "known"}


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("x = (y, z)", []),
        ("x = not y  # z", [("keyword", "not"), ("comment", "# z")]),
        ("x = r'a\\d' 'b'", [("string", "r'a\\d'"), ("string", "'b'")]),
    ],
    ids=["names and brackets", "a word and a comment", "strings of several parts"],
)
def test_only_what_is_coloured_is_an_element(line: str, spans: list[tuple[str, str]]) -> None:
    """And what stands side by side in one colour is one: a page lays out each of them."""
    html = render(f"```python\n{line}\n```", {})
    found = re.findall(r'<span class="(?!lines)(.*?)">(.*?)</span>', html)
    assert [(name, unescape(text)) for name, text in found] == spans


@pytest.mark.parametrize(("line", "name"), [("-a", {"deleted"}), ("+b", {"inserted"}), (" c", set())])
def test_a_difference_shows_what_goes_and_what_comes(line: str, name: set[str]) -> None:
    """Each by its own colour."""
    assert set(shown(f"```diff\n{line}\n```").classes) - {"language-diff", "lines"} == name


@pytest.mark.parametrize("language", ["", "nothing-known", "é", "<b>"])
def test_code_of_an_unknown_language_is_plain(language: str) -> None:
    """It has no colours, and all of its text."""
    found = shown(f"```{language}\nif x < 1:\n```")
    assert found.text == "if x < 1:\n"
    assert "keyword" not in found.classes


def test_long_code_has_no_colours() -> None:
    """Over 20 KB they would take too long."""
    found = shown("```python\n" + "x = 1\n" * 4_000 + "```")
    assert set(found.classes) == {"language-python", "lines"}


@pytest.mark.parametrize("language", ["python", "nothing-known"])
@pytest.mark.parametrize("lines", [1, BOX_LINES, BOX_LINES + 1, 3 * BOX_LINES])
def test_code_stands_in_boxes(language: str, lines: int) -> None:
    """Of 32 lines each, also where one token reaches over many lines."""
    code = '"""\n' + "text\n" * (lines - 1)
    html = document(f"```{language}\n{code}```").blocks[0]
    boxes = html.split('<span class="lines">')[1:]
    assert [Shown(f"<span>{box.partition('</code>')[0]}").text.count("\n") for box in boxes] == [
        min(BOX_LINES, lines - first) for first in range(0, lines, BOX_LINES)
    ]


def test_alignment_is_a_class() -> None:
    """The page allows no styles."""
    found = shown("| a | b | c |\n|:-:|--:|---|\n| 1 | 2 | 3 |")
    assert found.classes == ["align-center", "align-right"] * 2


SIDED = ["- a", "1. a", "> a", "| a |\n|---|", "<details>\na\n</details>", "[^1]: a"]


@pytest.mark.parametrize("text", SIDED)
def test_what_has_a_side_takes_it_from_its_text(text: str) -> None:
    """The browser finds the first letter; a bullet, a bar or a first column then stands on its side."""
    assert document(text).blocks[0].count(' dir="auto"') == 1


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("> - a", '<blockquote dir="auto">\n<ul>\n<li>a</li>\n</ul>\n</blockquote>'),
        ("- > a", '<ul dir="auto">\n<li>\n<blockquote>\n<p>a</p>\n</blockquote>\n</li>\n</ul>'),
        ("- a\n  - b", '<ul dir="auto">\n<li>a\n<ul dir="auto">\n<li>b</li>\n</ul>\n</li>\n</ul>'),
        ("- 1. a", '<ul dir="auto">\n<li>\n<ol>\n<li>a</li>\n</ol>\n</li>\n</ul>'),
    ],
)
def test_what_stands_first_in_another_has_its_direction(text: str, html: str) -> None:
    """With a `dir` of its own it would hide its letters from what is around it."""
    assert document(text).blocks == [html]


def test_no_other_direction_passes() -> None:
    """The filter knows the values, too: nothing but code is always left to right."""
    assert (
        sanitize('<ul dir="rtl"></ul><p dir="auto"></p><pre dir="rtl"></pre>')
        == "<ul></ul><p></p><pre></pre>"
    )
    assert (
        sanitize('<ul dir="auto"></ul><pre dir="ltr"></pre>') == '<ul dir="auto"></ul><pre dir="ltr"></pre>'
    )


def test_definitions_come_from_outside_and_from_within() -> None:
    """Those from outside count first."""
    known = {"A": {"href": "https://first.example", "title": ""}}
    html = render("[a] [b]\n\n[a]: https://second.example\n[b]: https://b.example\n", known)
    assert Shown(html).links == ["https://first.example", "https://b.example"]
    assert set(known) == {"A"}


def test_an_open_answer_has_blocks_and_a_tail() -> None:
    """The tail is source text, and begins where the blocks end."""
    text = "# 🌊\n\nopen *te"
    rendered = opened(text)
    assert rendered.blocks == ["<h3>🌊</h3>"]
    assert (rendered.end, rendered.tail) == (5, "\nopen *te")
    assert opened("").blocks == document("").blocks == []


def test_what_follows_the_last_block_is_a_block_of_its_own() -> None:
    """So the blocks cover the whole text, and none that was sent has to grow."""
    assert document("one\n\n\n").blocks == ["<p>one</p>", ""]
    assert document("one\n\n\n").end == 6


def test_what_utf8_cannot_hold_is_replaced() -> None:
    """NUL and halves of surrogate pairs."""
    assert document("a\0\ud83db").blocks == ["<p>a\ufffd\ufffdb</p>"]
