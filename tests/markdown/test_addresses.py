"""Bare addresses in a text are links."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.markdown.rendered import document
from tests.markdown.shown import Shown


def links(text: str) -> list[str]:
    """Return the addresses that a text links to."""
    shown = Shown("".join(document(text).blocks))
    assert shown.wrong == []
    return shown.links


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example",
        "http://localhost:8080/x",
        "https://127.0.0.1/",
        "http://[::1]:8000/x",
        "HTTPS://A.example/x",
        "https://a.example/x?y=1&z=2#f",
        "https://en.wikipedia.org/wiki/Foo_(bar)",
        "https://a.example/?q[]=1&r={id}",
        "https://a.example/__init__.py",
        "https://a.example/~user/a~b",
        "https://a.example/a.b,c;d:e!f'g",
        "https://web.archive.org/web/2020/https://b.example/",
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        *(
            "{}",
            "see {} now",
            "see {}.",
            "see {}, and",
            "({})",
            "[{}]",
            '"{}"',
            "'{}'",
            "“{}”",
            "<{}>",
            "**{}**",
            "*{}*",
        ),
        *(
            "_{}_",
            "~~{}~~",
            "见{}。然后",
            "见{}，然后",
            "（{}）",
            "「{}」",
            "- {}",
            "> {}",
            "| {} |\n|---|",
            "# {}",
            "{}\nb",
        ),
        *(
            "[x]({})",
            "[{0}]({0})",
            "{}<br>b",
            "<b>{}</b>",
            "{}: x",
            "{}; x",
            "{}?",
            "{}!",
            "{}…",
            "{} — x",
            "a:{}",
            "🙂{}🙂",
        ),
    ],
)
def test_an_address_ends_where_it_ends(address: str, around: str) -> None:
    """Not with what stands around it; with the brackets that it opens."""
    assert list(map(unquote, links(around.format(address)))) == [address]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("www.example.com/a.", ["http://www.example.com/a"]),
        ("mail a.b+c-d_e@mail.example.org.", ["mailto:a.b+c-d_e@mail.example.org"]),
        ("邮箱a@b.example。", ["mailto:a@b.example"]),
        ("见https://a.example/x了解更多", ["https://a.example/x"]),
        ("https://zh.wikipedia.org/wiki/中文", ["https://zh.wikipedia.org/wiki/%E4%B8%AD%E6%96%87"]),
        ("https://de.wikipedia.org/wiki/Köln", ["https://de.wikipedia.org/wiki/K%C3%B6ln"]),
        (
            "https://ru.wikipedia.org/wiki/Москва",
            ["https://ru.wikipedia.org/wiki/%D0%9C%D0%BE%D1%81%D0%BA%D0%B2%D0%B0"],
        ),
        ("https://a.example/(b", ["https://a.example/"]),
        ("https://a.example/b) c)", ["https://a.example/b"]),
        ("https://a.example/x\\_y", ["https://a.example/x_y"]),
        ("https://a.example/?a=1&amp;b=2", ["https://a.example/?a=1&b=2"]),
        ('<a href="https://a.example">x</a>', ["https://a.example"]),
        ("https://a.example|https://b.example", ["https://a.example", "https://b.example"]),
        ("https://a.example/*", ["https://a.example/"]),
    ],
)
def test_other_addresses(text: str, expected: list[str]) -> None:
    """Of mail, without a scheme, and beside scripts that have no spaces."""
    assert links(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "`https://a.example`",
            "```\nhttps://a.example\n```",
            "\\(https://a.example\\)",
            "https://",
            "http://.",
            "https:// a",
        ),
        *(
            "www.",
            "www.a",
            "xhttps://a.example",
            "awww.example.com",
            "ftp://a.example",
            "javascript://a.example",
            "a.example",
        ),
        *(
            "@a.example",
            "a@b",
            "a@b.c1",
            "git@github.com:a/b.git",
            "@scope/name",
            "v1@2.3",
            "https://)",
            "file:///etc/passwd",
        ),
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Code, other schemes, and what only looks like one."""
    assert links(text) == []


def test_a_link_has_no_link_inside() -> None:
    """Its words may be an address."""
    html = document("[see https://a.example and b@c.example](https://b.example)").blocks[0]
    assert html.count("<a ") == 1
    assert Shown(html).text == "see https://a.example and b@c.example"
