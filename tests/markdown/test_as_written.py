"""Answers as models write them: lines, tags, footnotes, headings, lists and listings, unlike in CommonMark."""

from __future__ import annotations

import pytest

from tests.markdown.rendered import document
from tests.markdown.shown import Shown


def html(text: str) -> str:
    """Return the HTML of a text that has ended, which must be as it should."""
    found = "\n".join(block for block in document(text).blocks if block)
    assert Shown(found).wrong == []
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Roses are red,\nviolets *are\nblue*", "<p>Roses are red,<br>\nviolets <em>are<br>\nblue</em></p>"),
        ("> one\n> two", '<blockquote dir="auto">\n<p>one<br>\ntwo</p>\n</blockquote>'),
        ("- one\n  two", '<ul dir="auto">\n<li>one<br>\ntwo</li>\n</ul>'),
        ("one  \ntwo\\\nthree", "<p>one<br>\ntwo<br>\nthree</p>"),
        ("one\r\ntwo", "<p>one<br>\ntwo</p>"),
    ],
)
def test_lines_are_kept(text: str, expected: str) -> None:
    """Poems and addresses have one newline at the end of each."""
    assert html(text) == expected


@pytest.mark.parametrize("tag", ["<br>", "<br/>", "<br />", "<BR>", "</br>"])
def test_a_tag_breaks_the_line(tag: str) -> None:
    """In a paragraph and in a cell; one at the end of a line does not break it twice."""
    assert html(f"a{tag}b") == "<p>a<br>\nb</p>"
    assert html(f"a {tag}\nb") == "<p>a<br>\nb</p>"
    assert "<td>a<br>\nb</td>" in html(f"| x |\n|---|\n| a{tag}b |")
    assert Shown(html(f"`a{tag}b`")).text == f"a{tag}b"


@pytest.mark.parametrize(
    "tag",
    ["sub", "sup", "kbd"],
)
def test_a_pair_of_tags_is_an_element(tag: str) -> None:
    """In whatever case, with Markdown inside, and nested as it should be."""
    assert html(f"a <{tag}>b *c*</{tag}>") == f"<p>a <{tag}>b <em>c</em></{tag}></p>"
    assert html(f"a <{tag.upper()}>b</{tag}>") == f"<p>a <{tag}>b</{tag}></p>"
    assert html(f"**<{tag}>b</{tag}>**") == f"<p><strong><{tag}>b</{tag}></strong></p>"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<kbd>a",
            "a</kbd>",
            "<kbd>a</sup>",
            "<kbd>a\n\nb</kbd>",
            "<kbd class=x>a</kbd>",
            "<kbd onclick=x>a</kbd>",
            "<br clear=all>",
        ),
        *(
            "*<kbd>a*</kbd>",
            "[<kbd>a](https://a.example)</kbd>",
            "<div>a</div>",
            "<p>a</p>",
            "<font>a</font>",
            "<b>a</b>",
            "<mark>a</mark>",
            "</kbd>a<kbd>",
        ),
        *(
            "\\<kbd>a\\</kbd>",
            "`<kbd>`a</kbd>",
            "| <kbd>a |\n|---|\n| b</kbd> |",
            "List<kbd>",
            "<sub",
            "<sub>",
            "<!-- a -->",
        ),
    ],
)
def test_all_other_tags_are_text(text: str) -> None:
    """Those with attributes, without a partner in their own element, and the names that are not listed."""
    found = Shown(html(text))
    assert not {"kbd", "sup", "sub", "div", "font", "b", "mark"} & set(found.tags)
    assert found.text.count("<") == text.replace("\\<", "<").count("<")


def test_tags_within_each_other() -> None:
    """What is closed too late, or in the wrong order, is text."""
    assert html("<kbd>a<sup>b</kbd>c</sup>") == "<p><kbd>a&lt;sup&gt;b</kbd>c&lt;/sup&gt;</p>"
    assert html("<kbd>a<kbd>b</kbd>c</kbd>") == "<p><kbd>a<kbd>b</kbd>c</kbd></p>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# a\n## b\n### c\n#### d\n##### e\n###### f",
            "<h3>a</h3>\n<h4>b</h4>\n<h5>c</h5>\n<h6>d</h6>\n<h6>e</h6>\n<h6>f</h6>",
        ),
        ("a\n===\nb\n----", "<h3>a</h3>\n<h4>b</h4>"),
        ("a\n---\nb", "<p>a</p>\n<hr>\n<p>b</p>"),
        ("a\nb\n----", "<p>a<br>\nb</p>\n<hr>"),
        ("---\ntitle: a\n---\nb", "<hr>\n<p>title: a</p>\n<hr>\n<p>b</p>"),
        ("x\n=\n5", "<p>x<br>\n=<br>\n5</p>"),
        ("- a\n  ====", '<ul dir="auto">\n<li>\n<h3>a</h3>\n</li>\n</ul>'),
    ],
)
def test_headings_begin_two_levels_down(text: str, expected: str) -> None:
    """Under the page's and the message's own. Three dashes under a text are a rule."""
    assert html(text) == expected


def test_what_breaks_lists_and_tables() -> None:
    """A list may begin at any number, and a table and a list right after a line of text."""
    assert (
        html("Then:\n3. a\n4. b") == '<p>Then:</p>\n<ol start="3" dir="auto">\n<li>a</li>\n<li>b</li>\n</ol>'
    )
    assert html("Then:\n2) a") == '<p>Then:</p>\n<ol start="2" dir="auto">\n<li>a</li>\n</ol>'
    assert html("It began in\n1984. Then") == "<p>It began in<br>\n1984. Then</p>"
    assert html("about\n3.5 m") == "<p>about<br>\n3.5 m</p>"
    assert "<table " in html("Here:\n| a | b |\n|---|---|\n| 1 | 2 |")


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ('python title="x.py"', "python"),
        ("python:app/main.py", "python"),
        ("js{1,3-5}", "js"),
        ("{.python .numbered}", "python"),
        ("{python}", "python"),
        ("language-c++", "c++"),
        ("rust,ignore", "rust"),
        ("c#", "c#"),
        ('title="x.py"', ""),
        ("", ""),
        ("{}", ""),
    ],
)
def test_the_language_of_a_listing(info: str, name: str) -> None:
    """Whatever else its first line says."""
    expected = f'<code class="language-{name}">' if name else "<code>"
    assert expected in html(f"```{info}\nx\n```")
    assert expected in html(f"~~~{info}\nx\n~~~")


@pytest.mark.parametrize(
    "inner",
    [
        "# A\n```bash\nls\n```\ntext\n",
        "```py\nx\n```\n\n```js\ny\n```\n",
        "```markdown\n```py\nx\n```\n```\n",
        "~~~\nx\n~~~\n",
    ],
)
@pytest.mark.parametrize("info", ["markdown", "md", "Markdown title=x", "mdx"])
def test_listings_in_a_listing_of_markdown(inner: str, info: str) -> None:
    """With marks as long as its own: they end what they began."""
    found = Shown(html(f"```{info}\n{inner}```\nafter"))
    assert found.tags.count("pre") == 1
    assert found.text.replace("\n", "") == (inner + "after").replace("\n", "")
    assert html(f"````{info}\n{inner}````\nafter").count("<pre") == 1


def test_other_listings_end_at_their_first_mark() -> None:
    """As CommonMark says: a language in a listing of something else is its text."""
    assert html("```sh\n```py\n```\nafter").endswith("<p>after</p>")
    assert html("```md\nx\n```\nafter").endswith("<p>after</p>")


def test_footnotes() -> None:
    """References are raised, also before the definition comes; a definition stays where it is."""
    found = html("a[^1] b[^two] c[^3] d[^x]\n\n[^1]: One *thing*.\n[^two]: Two\n\n    more\n\nafter")
    assert '<p>a<sup class="footnote">[1]</sup> b<sup class="footnote">[two]</sup> c' in found
    assert 'c<sup class="footnote">[3]</sup> d[^x]</p>' in found
    assert '<div class="footnote" dir="auto">\n<sup>[1]</sup>\n<p>One <em>thing</em>.</p>\n</div>' in found
    assert "<sup>[two]</sup>\n<p>Two</p>\n<p>more</p>\n</div>\n<p>after</p>" in found


def test_a_footnote_that_is_an_address_is_linked() -> None:
    """From where it is referred to, too."""
    found = Shown(html("a[^1]\n\n[^1]: <https://a.example/x>"))
    assert found.links == ["https://a.example/x"] * 2
    assert Shown(html("a[^1]\n\n[^1]: javascript:alert(1)")).links == []


@pytest.mark.parametrize(
    "text", ["`[^1]`", "[^a-z]", "[^1](https://a.example)", "\\[^1]", "[^]", "[^a b]", "[^1"]
)
def test_other_brackets_are_no_footnote(text: str) -> None:
    """Classes of characters, code, links and what is escaped."""
    assert "footnote" not in Shown(html(text)).classes


def test_details_are_folded() -> None:
    """With their summary, and Markdown inside; what is in a listing there closes nothing."""
    found = html(
        "a\n<details>\n<summary>More **here**</summary>\n\n- b\n\n```html\n</details>\n```\n</details>\nc"
    )
    assert found.startswith(
        '<p>a</p>\n<details dir="auto">\n<summary>More <strong>here</strong></summary>\n'
        '<ul dir="auto">\n<li>b</li>\n</ul>'
    )
    assert found.endswith("</pre>\n</details>\n<p>c</p>")
    assert (
        "&lt;/details&gt;" in found.replace('<span class="known">', "").replace("</span>", "")
        or "/details" in found
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<details><summary>a</summary>b</details>",
            '<details dir="auto">\n<summary>a</summary>\n<p>b</p>\n</details>',
        ),
        ("<details open>\nb\n</details>", '<details open="" dir="auto">\n<p>b</p>\n</details>'),
        ("<details>\n\nb", '<details dir="auto">\n<p>b</p>\n</details>'),
        (
            "<details>\n<summary>a</summary>\n</details>",
            '<details dir="auto">\n<summary>a</summary>\n</details>',
        ),
        (
            "- <details>\n  b\n  </details>\n- c",
            '<ul dir="auto">\n<li>\n<details>\n<p>b</p>\n</details>\n</li>\n<li>c</li>\n</ul>',
        ),
        (
            "<details>\n<details>\na\n</details>\nb\n</details>\nc",
            '<details dir="auto">\n<details>\n<p>a</p>\n</details>\n<p>b</p>\n</details>\n<p>c</p>',
        ),
    ],
)
def test_forms_of_details(text: str, expected: str) -> None:
    """In one line, open, without an end, empty, in a list, and in each other."""
    assert html(text) == expected


@pytest.mark.parametrize(
    "text", ["<details ontoggle=x>\na\n</details>", "a <details>b</details>", "    <details>"]
)
def test_other_details_are_text(text: str) -> None:
    """Those with attributes, and what is no line of its own."""
    assert "details" not in Shown(html(text)).tags
