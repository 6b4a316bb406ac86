"""Emphasis and strikethrough beside the scripts that have no spaces, and with spaces inside."""

from __future__ import annotations

import pytest

from tests.markdown.rendered import document


@pytest.mark.parametrize(
    "text",
    [
        "*{开源：}*代码是公开的",
        "他说*{“如何更好地服务你”}*。",
        "*{历经10年发展，}*年",
        "*{不变。}*源码",
        "这是*{（重点）}*部分",
        "これは*{強調。}*です",
        "これは*{「強調」}*です",
        "이것은 *{강조(설명)}*입니다",
        "*{텍스트:}*다음",
        "文字*{`code`}*文字",
        "文字*{[x](https://a.example)}*文字",
        "月成本 *{$148}*（省）",
        "葛\U000e0100*{（重点）}*部分",
    ],
)
@pytest.mark.parametrize(("mark", "tag"), [("**", "strong"), ("~~", "s"), ("*", "em")])
def test_marks_beside_cjk_text(text: str, mark: str, tag: str) -> None:
    """Punctuation on the inner side of a mark, and a letter on the outer one."""
    html = document(text.replace("*{", mark).replace("}*", mark)).blocks[0]
    assert html.count(f"<{tag}>") == html.count(f"</{tag}>") == 1
    assert mark not in html


@pytest.mark.parametrize(
    "text",
    ["a**:b**c", 'a**"b"**c', "snake_case_name", "字_字_字", "a ** b ** c", "2 ** 3 ** 4", "🙂**(a)**b"],
)
def test_marks_elsewhere_are_as_in_commonmark(text: str) -> None:
    """Between letters of other scripts, in words, and as operators."""
    html = document(text).blocks[0]
    assert "<strong>" not in html
    assert "<em>" not in html


@pytest.mark.parametrize("text", ["**a **", "** a**", "** a **", "b **a ** c", "- ** a **", "x\n** a **\ny"])
def test_a_space_inside_of_a_mark(text: str) -> None:
    """At the end of what is strong; at its beginning only where a line begins: elsewhere it is an operator."""
    assert document(text).blocks[0].count("<strong>") == 1


@pytest.mark.parametrize("text", ["** a", "a **", "** **", "**", "__a __", "~~a ~~", "* a *"])
def test_other_marks_with_spaces_are_text(text: str) -> None:
    """Those without a partner, and other marks."""
    assert "<strong>" not in document(text).blocks[0] or text == "** **"
    assert "<s>" not in document(text).blocks[0]
