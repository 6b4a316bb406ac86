"""The open end of an answer: what the browser paints of Markdown that has not ended yet."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.browser.modules import Modules
from tests.markdown.rendered import document

PAINT = """async ([url, pieces, isOver]) => {
    const { Tail } = await import(`${url}/markdown/tail.js`);
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
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("# Title\n## Part\ntext", "<h3>Title</h3><h4>Part</h4><p>text</p>"),
        ("## Title\ntext", '<h3 class="lift-1">Title</h3><p>text</p>'),
        ("# One\n### Two\nThree\n---\n# Four", "<h3>One</h3><h4>Two</h4><p>Three</p><hr><h3>Four</h3>"),
        ("a *b* **c** ~~d~~ `e`", "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e</code></p>"),
        ("- a\n- b", '<ul dir="auto"><li>a</li><li>b</li></ul>'),
        ("3. a\n4. b", '<ol dir="auto" start="3"><li>a</li><li>b</li></ol>'),
        ("> said", '<blockquote dir="auto"><p>said</p></blockquote>'),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        (
            "- [ ] do\n- [x] done",
            '<ul dir="auto"><li><span class="task">☐</span> do</li>'
            '<li><span class="task done">☑</span> done</li></ul>',
        ),
        ("one  \ntwo", "<p>one <br>two</p>"),
        ("- a\n\n  b\n- c", '<ul dir="auto"><li>a<p>b</p></li><li>c</li></ul>'),
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


# The elements of a tail to which `pieces` were appended, and those of a block. The first paragraph of an item, colours,
# and how text is wrapped in the source make no difference to what is seen.
BOTH = """async ([url, pieces, html]) => {
    const { Tail } = await import(`${url}/markdown/tail.js`);
    const shown = (box) => {
        for (const formula of box.querySelectorAll("math, code.maths")) {
            const parent = formula.parentElement;
            formula.replaceWith("FORMULA"); // its source, or what the server made of it
            if (parent.localName === "p" && parent.textContent.trim() === "FORMULA") parent.replaceWith("FORMULA");
        }
        for (const span of box.querySelectorAll("span:not(.task)")) span.replaceWith(...span.childNodes);
        for (const first of box.querySelectorAll("li > p:first-child"))
            if (!first.previousSibling?.data.trim()) first.replaceWith(...first.childNodes);
        for (const each of box.querySelectorAll("*")) {
            const direction = each.dir;
            for (const name of ["tabindex", "dir"]) each.removeAttribute(name);
            if (direction) each.dir = direction; // as the last attribute
        }
        for (const code of box.querySelectorAll("pre > code")) code.textContent = code.textContent.trim();
        box.normalize();
        const texts = document.createNodeIterator(box, NodeFilter.SHOW_TEXT);
        for (let text; (text = texts.nextNode()); )
            if (!text.parentElement.closest("pre")) text.data = text.data.replace(/\\s+/g, " ");
        const names = "p|blockquote|[uo]l|li|br|pre|h.|details|summary|div|sup|t\\\\w+";
        return box.innerHTML.replace(new RegExp(` ?(</?(?:${names})\\\\b[^>]*>) ?`, "g"), "$1");
    };
    const [box, block] = [document.createElement("div"), document.createElement("div")];
    const tail = new Tail(box);
    for (const piece of pieces) tail.write(piece);
    tail.end();
    block.innerHTML = html;
    return [shown(box), shown(block)];
}"""
SAME = {
    "breaks": "one  \ntwo    \nthree\\\nfour\nfive \\\\\nsix  \n\nseven  \n",
    "breaks in emphasis": (
        "*one  \ntwo* and **three\\\nfour** [five  \nsix](https://a.example)  \n`seven`  \neight"
    ),
    "breaks in items": "- one  \n  two\n- three\\\n  four\n  1. five  \n     six",
    "breaks in a quote": "> one  \n> two  \n> three",
    "no breaks in code": "`one \n two` \n\n```sh\none  \ntwo \\\nthree\n```\n",
    "no breaks in headings": "# one  \ntwo\n\n## three   \nfour",
    "lines": "one\ntwo\n*three\nfour*\n\n> five\n> six\n\n- seven\n  eight",
    "a tag that breaks": "one  \ntwo <br>three",
    "dollars at breaks": "it costs $5  \nor \\$6 \\\nor $7",
    "loose": "- a\n\n- b\n\n\n- c\n\nafter",
    "second paragraphs": "- a\n\n  second\n  line\n\n  third\n- b\n  \n  more\n",
    "second paragraphs, numbered": "9. a\n\n   second\n10. b\n\n    more\n\nafter",
    "second paragraphs, four spaces": "1. a\n\n    second\n\n- a\n\n    second\n\n    third\n\n- b",
    "second paragraphs, a tab": "- a\n\n\tsecond",
    "nested": "- a\n\n  - b\n\n    in b\n\n  - c\n\n  in a\n\n- d",
    "code in items": (
        "1. a\n\n   ```py\n   x = 1\n\n     y = 2\n   ```\n\n   after\n2. b\n   ```\n   z\n   ```\n3. c"
    ),
    "indented code in items": "- a\n\n      code\n\n- b",
    "what ends a list": "- a\n\n## b\n\n- c\n\n---\n\n- d\n\n> e\n\n- f\n\n1. g\n\n```\nh\n```\n",
    "tasks": (
        "- [ ] do\n- [x] **done**\n- [X] done, too\n  - [x] nested  \n    on\n\n- [X] loose\n\n  second"
    ),
    "tasks in order": "1. [ ] a\n2. [x] b",
    "no tasks": "- [] a\n- [y] b\n- [x]c\n- [X](https://x.example)\n- \\[x] d\n- a [X] b\n- [Xy] c",
    "maths": (
        "a $x^2$ b, ($y$) and $z$th costs $5 and $6, or US$5 "
        "and 5$ or \\$x\\$ and `$x$` $a_1$ $b_1$.\n$c$\n\n$d"
    ),
    "maths in blocks": (
        "- $x$\n- $5\n- $y_1 + y_2$ \n\n> so $z$ it\n\n# "
        "$h$ and $5\n\n| $a$ | $5 |\n|---|---|\n| $b$ | $6 |\n"
    ),
    "prices": "**$148+ → $19**，~$1,550 $15.4/月\n\n$20,000 and USD$30,000, $5-$10 or $5, or 5$.",
    "variables": "use $HOME and $PATH. And $x$",
    "maths of two dollars": "so $$a_1$$ and $$ b $$ it\n\n$$\na_1\n$$\n\n$$ c\n + d $$\n\n$$ e",
    "tags": (
        "H<sub>2</sub>O x<sup>2</sup> <kbd>Ctrl</kbd>+<KBD>C</KBD> <sup>*a*</sup> **<sub>b</sub>** <b>c\nd</b>"
    ),
    "tags that are none": (
        "<kbd>a *<sup>b* c</sup> d\n\ne</kbd> <kbd x>f</kbd> a < b <div> <brr> <kbdx> </kbd> `<kbd>` \\<kbd>x</kbd>"
    ),
    "tags in each other": "<kbd>a<sup>b</kbd>c</sup> <sub>d<sup>e</sup></sub> *f <kbd>g</kbd>* <kbd>*h</kbd>*",
    "tags that break": "a<br>b<br/>\nc<br />  \nd</br>e\n<br>\nf<BR><br>g<br>\n\nh",
    "tags in cells": "| a<br>b | <kbd>c</kbd> | <kbd>d |\n|---|---|---|\n| e<br>f | H<sub>2</sub> | g |\n",
    "addresses": "https://a.example (https://b.example/x_(y)_z) and http://c.example/a, www.d.example/e.",
    "addresses beside others": (
        "见https://a.example。然后 https://b.example/x了解 "
        "**https://c.example** *https://d.example* <https://e.example>"
    ),
    "addresses in others": (
        "[x](https://a.example) [https://b.example](https://b.example) "
        "[https://c.example] `https://d.example`"
    ),
    "addresses that are none": (
        "https:// http:/a www. www.a xhttps://a.example h w ht http https: who white"
    ),
    "addresses in lists": (
        "- https://a.example/__init__.py\n- https://b.example/\n"
        "\n| https://c.example |\n|---|\n| https://d.example|\n"
    ),
    "words": "snake_case_name and _a_ __b__ c_d _e_f_ (_g_) 字_字_",
    "other scripts": "**粗体。**后 是**“重点”**的 ~~删除。~~后 **텍스트(설명)**은 **开源：**代码",
    "headings": "# a\n## b\n### c\n#### d\n##### e\n\na\n===\n\nb\n-----\nc\n---\nd\ne\n====\n",
    "lists": "Then:\n3. a\n4. b\n\nthen:\n\n1) c\n2) d\n\nand\n7) e",
    "footnotes": (
        "a[^1] b[^23].\n\n[^1]: One *thing*\ngoes on\n[^23]: Two https://a.example\n\n    more\n\nafter"
    ),
    "footnotes that are none": "a[^ b [^] [^1](https://a.example) `[^1]` [^x y] [1]",
    "folds": (
        "a\n\n<details>\n<summary>b **c** `d`</summary>\n\ne\n"
        "\n- f\n\n```html\n</details>\n```\n\n</details>\n\ng"
    ),
    "directions": (
        "- a\n  - b\n\nc\n\n> > d\n\n| e |\n|---|\n| f |\n\n<details>\n<summary>g</summary>\n\n- h\n\n</details>\n"
        "\n<details>\n- i\n</details>\n\n[^1]: j\n\n> - k\n> - l\n"
    ),
    "folds in one line": "<details open><summary>a</summary>b</details>\nc\n<details>\nd\n</details>\n",
    "folds in each other": "<details>\n<summary>a</summary>\n<details>\nb\n</details>\nc\n</details>\nd",
    "folds that end in a line": (
        "<details><summary>a</summary><details><summary>b</summary>c</details></details>\nd\n"
        "<details>e</details> f\n</details>\ng"
    ),
    "mail addresses": (
        "Mail ann@example.org, or <bob@example.org>. x@y a@b.c. (cy@example.org): ok; a.b+c_d@e-f.example.org/x\n\n"
        "- me@a.example\n- **you@b.example**\n- <dee@example.org> <dee@example>\n\n"
        "| x@a.example | b |\n|---|---|\n| [z@a.example](https://a.example) | `q@a.example` |\n"
    ),
    "mail addresses in text": (
        "_a@b.example_ -a@b.example éa@b.example a@b.example@c a@b.example:c http://u@h.example "
        "字a@b.example字 a@b.example\n"
        "end *a*b@c.example a@b.example"
    ),
    "named footnotes": "[^n]: Note *x*\n[^m]: Other\n\na[^n] b[^N] c[^none] d[^m](https://a.example) e[^m]",
    "listings in listings": (
        "```markdown\n# a\n```bash\nls $x\n```\nb\n```\nc\n"
        "\n````md\n```js\nd\n```\n````\n\n```sh\n```py\n```\ne"
    ),
    "languages": '```python title="x"\n1\n```\n```{.js #a}\n2\n```\n~~~rust,ignore\n3\n~~~\n```title="x"\n4\n```\n',
    "no tasks outside of lists": "[x] e\n\n```\n- [X] f\n- [x] g\n```\n",
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME.keys())
def test_the_tail_is_what_the_block_will_be(modules: Modules, source: str) -> None:
    """Breaks, lists with paragraphs in them, tasks: the same elements and text live as finished, wherever it is cut."""
    html = "".join(document(source).blocks)
    cuts = [[source], list(source)]
    for seed in range(12):
        random, rest = Random(seed), source
        cuts.append([])
        while rest:
            size = random.choice((1, 2, 3, 5, 8))
            cuts[-1].append(rest[:size])
            rest = rest[size:]
    for pieces in cuts:
        painted, rendered = modules.page.evaluate(BOTH, [modules.url, pieces, html])
        assert painted == rendered


def test_what_is_painted_of_a_list_stays(modules: Modules) -> None:
    """When a second paragraph makes a list a loose one, nothing in it is taken away or put elsewhere."""
    removed = modules.page.evaluate(
        """async ([url, source]) => {
            const { Tail } = await import(`${url}/markdown/tail.js`);
            const box = document.createElement("div");
            const tail = new Tail(box);
            const observer = new MutationObserver(() => {});
            observer.observe(box, { childList: true, subtree: true });
            for (const character of source) tail.write(character);
            const changes = observer.takeRecords().filter(({ target }) => !target.matches(".task"));
            return changes.flatMap(({ removedNodes }) => Array.from(removedNodes, (node) => node.nodeName));
        }""",
        [modules.url, SAME["nested"] + "\n\n" + SAME["tasks"] + "\n\n" + SAME["code in items"]],
    )
    assert removed == []


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
    """Tags in an answer are shown."""
    html = paint(modules, "<a>x</a> <script>alert(1)</script>")
    assert html == "<p>&lt;a&gt;x&lt;/a&gt; &lt;script&gt;alert(1)&lt;/script&gt;</p>"


def test_brackets_alone_are_no_link(modules: Modules) -> None:
    """An index or a reference keeps its brackets."""
    assert paint(modules, "see list[0] and [1]") == "<p>see list[0] and [1]</p>"


def test_a_bare_address_is_a_link(modules: Modules) -> None:
    """It is painted once its end is known."""
    html = paint(modules, "see https://a.example/b. Now", is_over=False)
    attributes = 'href="https://a.example/b" target="_blank" rel="noopener noreferrer nofollow"'
    assert html == f"<p>see <a {attributes}>https://a.example/b</a>. Now</p>"
    assert paint(modules, "see https://a.exam", is_over=False) == "<p>see</p>"


@pytest.mark.parametrize(
    "pieces", [("it costs $5 and $HOME is *mine*",), ("it costs $", "5 and $", "HOME is *mine*")]
)
def test_a_single_dollar_is_no_formula(modules: Modules, pieces: tuple[str, ...]) -> None:
    """Wherever the pieces end."""
    assert paint(modules, *pieces) == "<p>it costs $5 and $HOME is <em>mine</em></p>"


@pytest.mark.parametrize("pieces", [("it is 30$^\\circ$C.",), ("it is 30$", "^\\ci", "rc$C.")])
def test_a_unit_follows_its_number(modules: Modules, pieces: tuple[str, ...]) -> None:
    """As the server has it; a price is none."""
    assert paint(modules, *pieces) == '<p>it is 30<code class="maths">$^\\circ$</code>C.</p>'
    assert paint(modules, "a 5$-bill, a 10$-bill") == "<p>a 5$-bill, a 10$-bill</p>"


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
    *("p", "h3", "h4", "h5", "h6", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "span"),
    *(
        "br",
        "kbd",
        "sub",
        "sup",
        "em",
        "strong",
        "s",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "div",
    ),
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
    *(mark * 2000 for mark in ("![", "\\[", "# ", "- ", "1. ", "> ", "**_", "~~", "- [X", "- [x] ")),
    *(
        mark * 3000
        for mark in (
            "<kbd>",
            "</kbd>",
            "<br>",
            "<sub>*",
            "$a ",
            "$$",
            "$a`$",
            "https://a(",
            "www.",
            "[^1]",
            "_a",
        )
    ),
    *(
        mark * 3000
        for mark in (
            "<details>",
            "<details>\n",
            "<summary>",
            "</details>\n",
            "[^1]: ",
            "[^1]: a\n",
            "a\n====\n",
        )
    ),
    "```md\n" * 3000,
    "<details onclick=alert(1) open>\n<summary onclick=alert(1)>a</summary>",
    "<kbd onclick=alert(1)>a</kbd> <kbd style=x>b</kbd>",
    'javascript://a.example https://a.example/"onclick=alert(1)',
    "\ufdd0" * 100 + "<kbd>\ufdd0</kbd>",
    *(
        line * 2000
        for line in ("\n", "  \n", "a  \n", "- a\n\n", "- a\n\n  b\n\n", "- ```\n\n", "> - a\n>\n")
    ),
    "a" * 1_000_000,
]


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_makes_no_element_but_those_of_text(modules: Modules, source: str) -> None:
    """No script, no handler, no image, whatever the text; and the parser never hangs."""
    found = modules.page.evaluate(
        """async ([url, source]) => {
            const { Tail } = await import(`${url}/markdown/tail.js`);
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
    assert set(found[1]) <= {"class", "dir", "href", "open", "target", "rel", "start", "tabindex"}


# A tail behind closed blocks, whose headings say at which level its own go on.
BEHIND = """async ([url, html, text]) => {
    const { Tail } = await import(`${url}/markdown/tail.js`);
    const content = document.createElement("div");
    content.innerHTML = `<div class="group"><div class="block">${html}</div></div><div class="tail"></div>`;
    new Tail(content.lastElementChild).write(text);
    return content.lastElementChild.firstElementChild.outerHTML;
}"""


@pytest.mark.parametrize("heading", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "before", ["# a", "## a", "### a\n\n##### b", "no heading", "- # in a list\n\nb\n\n##### c"]
)
def test_a_heading_is_where_the_block_will_have_it(modules: Modules, before: str, heading: int) -> None:
    """Whatever came before it."""
    mark = "#" * heading
    closed = document(f"{before}\n\n").blocks
    painted = modules.page.evaluate(BEHIND, [modules.url, "".join(closed), f"{mark} Next\n"])
    assert painted == document(f"{before}\n\n{mark} Next\n").blocks[-1]
