"""The open end of an answer: what the browser paints of Markdown that has not ended yet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.modules import Modules

PAINT = """async ([url, pieces, isOver]) => {
    const { Tail } = await import(`${url}/tail.js`);
    const box = document.createElement("div");
    const tail = new Tail(box);
    for (const piece of pieces) tail.write(piece);
    if (isOver) tail.end();
    return box.innerHTML;
}"""


def paint(modules: Modules, *pieces: str, is_over: bool = True) -> str:
    """Return the HTML of a tail to which these pieces were appended."""
    html: str = modules.page.evaluate(PAINT, [modules.url, list(pieces), is_over])
    return html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("## Title\ntext", "<h2>Title</h2><p>text</p>"),
        ("a *b* **c** ~~d~~ `e`", "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e</code></p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("> said", "<blockquote><p>said</p></blockquote>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("- [x] done", "<ul><li>[x] done</li></ul>"),
    ],
)
def test_the_elements_are_those_of_the_server(modules: Modules, source: str, html: str) -> None:
    """What is painted has the tags of the block that will take its place."""
    assert paint(modules, source) == html


def test_a_piece_may_end_anywhere(modules: Modules) -> None:
    """Character by character the result is the one of the whole."""
    source = (
        "# A *title*\n\nText with `code`, [a link](https://a.example).\n\n```py\nx = 1\n```\n\n- a\n- b\n"
    )
    assert paint(modules, *source) == paint(modules, source)


@pytest.mark.parametrize(
    "address",
    ["javascript:alert`1`", " JavaScript:void", "data:text/html,x", "/login", "//a.example", "ftp://a"],
)
def test_a_link_goes_to_other_sites_only(modules: Modules, address: str) -> None:
    """An address that is not http, https or mailto is none; its text stays."""
    assert paint(modules, f"[text]({address})") == "<p><a>text</a></p>"


@pytest.mark.parametrize("address", ["https://a.example/b?c", "http://a.example", "mailto:a@b.example"])
def test_a_link_is_followed_into_a_page_of_its_own(modules: Modules, address: str) -> None:
    """And that page learns nothing of this one."""
    expected = f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">text</a>'
    assert paint(modules, f'[text]({address} "title")') == f"<p>{expected}</p>"


@pytest.mark.parametrize(
    ("source", "selector"),
    [("```\nwide\n```", "pre > code"), ("| a | b |\n|---|---|\n| c | d |", "table")],
)
def test_what_may_be_too_wide_is_scrolled_by_the_keyboard(
    modules: Modules, source: str, selector: str
) -> None:
    """While it is still being written, too."""
    html = paint(modules, source, is_over=False)
    reached = modules.page.evaluate(
        "([html, selector]) => new DOMParser().parseFromString(html, 'text/html').querySelector(selector).tabIndex",
        [html, selector],
    )
    assert reached == 0


def test_an_image_is_a_link(modules: Modules) -> None:
    """Nothing is loaded that a model names."""
    html = paint(modules, "![a cat](https://a.example/cat.png)")
    assert "<img" not in html
    assert '<a href="https://a.example/cat.png"' in html


def test_html_is_text(modules: Modules) -> None:
    """Tags in an answer are shown, line breaks too."""
    html = paint(modules, "<b>x</b><br>y <script>alert(1)</script>")
    assert html == "<p>&lt;b&gt;x&lt;/b&gt;&lt;br&gt;y &lt;script&gt;alert(1)&lt;/script&gt;</p>"


def test_brackets_alone_are_no_link(modules: Modules) -> None:
    """An index or a reference keeps its brackets."""
    assert paint(modules, "see list[0] and [1]") == "<p>see list[0] and [1]</p>"


def test_an_address_alone_is_text(modules: Modules) -> None:
    """The grammar of the server makes no links of its own accord."""
    assert paint(modules, "see https://a.example now") == "<p>see https://a.example now</p>"


@pytest.mark.parametrize(
    "pieces", [("it costs $5 and $HOME is *mine*",), ("it costs $", "5 and $", "HOME is *mine*")]
)
def test_a_single_dollar_is_no_formula(modules: Modules, pieces: tuple[str, ...]) -> None:
    """Wherever the pieces end."""
    assert paint(modules, *pieces) == "<p>it costs $5 and $HOME is <em>mine</em></p>"


def test_a_dollar_in_code_is_as_it_was_written(modules: Modules) -> None:
    """In a line and in a listing."""
    html = paint(modules, "use `$x` here\n\n```sh\necho $HOME\n```\n")
    assert "<code>$x</code>" in html
    assert "echo $HOME" in html
    assert "\\" not in html


def test_a_formula_is_shown_as_its_source(modules: Modules) -> None:
    """Until the server has made one of it; no markup is looked for in it."""
    assert (
        paint(modules, "so \\(a_1 + b_1\\) it is")
        == '<p>so <code class="maths">\\(a_1 + b_1\\)</code> it is</p>'
    )
    assert '<code class="maths">$$\na_1 * b_1 * c\n$$</code>' in paint(modules, "$$\na_1 * b_1 * c\n$$\n")


def test_long_code_stands_in_boxes_of_lines(modules: Modules) -> None:
    """Thirty-two lines each, however the pieces are cut."""
    code = "".join(f"line {number}\n" for number in range(70))
    html = paint(modules, "```\n", *(code[at : at + 7] for at in range(0, len(code), 7)), is_over=False)
    assert html.count('<span class="lines">') == 3
    first = html.split("</span>")[0]
    assert first.count("\n") == 32


def test_the_last_word_is_whole(modules: Modules) -> None:
    """No character of an ordinary word is held back while nothing more comes."""
    assert paint(modules, "It begins well, and then", is_over=False) == "<p>It begins well, and then</p>"
    assert paint(modules, "**It begins", " well", is_over=False) == "<p><strong>It begins well</strong></p>"


@pytest.mark.parametrize(
    "source", ["> " * 10_000 + "deep", "".join(f"{'  ' * level}- a\n" for level in range(200))]
)
def test_what_is_nested_too_deeply_is_shown_as_it_is(modules: Modules, source: str) -> None:
    """The parser has room for so many levels; past that the source is shown."""
    html = paint(modules, source, is_over=False)
    assert html.startswith('<pre class="plain">')
    assert html.count("&gt;") == source.count(">")


ELEMENTS = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "span"),
    *("em", "strong", "s", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
HOSTILE: list[Any] = [
    '[x](javascript:alert(1) "y")',
    "[a]: javascript:alert(1)\n[a]",
    "<svg onload=alert(1)>",
    "![x](x:y onerror=alert(1))",
    "```<img src=x onerror=alert(1)>\ncode\n```",
    "|a|<img src=x>|\n|-|-|\n|1|2|",
    "<math><mtext></mtext></math>",
    "\0\u202e",
    '[a](https://x" onclick="alert(1))',
    *(mark * 5001 for mark in "`*_[|$>#-\t "),
    *(mark * 2000 for mark in ("![", "\\[", "# ", "- ", "1. ", "> ", "**_", "~~")),
    "a" * 1_000_000,
]


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_makes_no_element_but_those_of_text(modules: Modules, source: str) -> None:
    """No script, no handler, no image, whatever the text; and the parser never hangs."""
    found = modules.page.evaluate(
        """async ([url, source]) => {
            const { Tail } = await import(`${url}/tail.js`);
            const box = document.querySelector("main");
            const tail = new Tail(box);
            for (let at = 0; at < source.length; at += 4096) tail.write(source.slice(at, at + 4096));
            tail.end();
            const elements = Array.from(box.querySelectorAll("*"));
            const names = elements.flatMap((each) => Array.from(each.attributes, (attribute) => attribute.name));
            box.replaceChildren();
            return [elements.map((each) => each.localName), names];
        }""",
        [modules.url, source],
    )
    assert set(found[0]) <= ELEMENTS
    assert set(found[1]) <= {"class", "dir", "href", "target", "rel", "start", "tabindex"}
