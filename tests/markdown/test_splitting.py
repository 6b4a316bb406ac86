"""However an answer is cut into pieces, its blocks are the same, and together they are the whole."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.markdown.blocks import splitting
from app.markdown.blocks.splitting import Splitter, units
from app.markdown.bounds import BLOCK_LENGTH
from tests.markdown.corpus import ANSWERS, EXAMPLES
from tests.markdown.pieces import arriving, at_once, joined, whole

# What makes a difference to the grammar.
FRAGMENTS = [
    *(
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "a",
        "a b",
        "# ",
        "- ",
        "* ",
        "+ ",
        "1. ",
        "2) ",
        "> ",
        "-",
        "---",
        "===",
    ),
    *(
        "```",
        "```\n",
        "~~~\n",
        "$$",
        "$$\n",
        "\\[",
        "\\]",
        "\\(",
        "\\)",
        "  ",
        "   ",
        "    ",
        "\t",
        "`",
        "**",
        "_",
    ),
    *(
        "|",
        "-|-",
        "|---|",
        "~~",
        "[a]",
        "[a]: /u",
        "[a]: http://u",
        "[b]: <",
        "'t",
        "'",
        '"',
        "![",
        "](",
        "http://x.y",
    ),
    *(
        ")",
        "<b>",
        "</b>",
        "<br>",
        "\\",
        "&amp;",
        "😀",
        "é",
        "\u202e",
        "\0",
        "$",
        "$x$",
        "www.a.example",
        "a@b.example",
    ),
    *(
        "字",
        "。",
        "[^1]",
        "[^1]: ",
        "[^a]: http://u",
        "```md\n",
        "````",
        "<details>",
        "<details>\n",
        "<summary>s</summary>",
    ),
    *("</details>", "</details>\n", "====\n", "----\n", "3. "),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)


def check(text: str, random: Random) -> None:
    """Assert all that a split promises."""
    blocks, splitter = arriving(text, random)
    assert "".join(block.source for block in blocks) == text
    assert blocks == at_once(text)
    assert splitter.end == (blocks[-1].end if blocks else 0) == units(text)
    assert joined(blocks, splitter) == whole(text)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_any_text_in_any_pieces(text: str, random: Random) -> None:
    """Whatever is put together from what makes a difference to the grammar."""
    check(text, random)


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_examples_of_commonmark(text: str) -> None:
    """Each one alone."""
    check(text, Random(text))


def test_the_examples_of_commonmark_in_one_answer() -> None:
    """All of them after each other, with their unfinished fences and their definitions."""
    check("\n\n".join(EXAMPLES.values())[: BLOCK_LENGTH // 2], Random(1))


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("seed", range(10))
def test_answers_of_models(text: str, seed: int) -> None:
    """Cut at random places, ten times."""
    check(text, Random(seed))


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("# Title\n", ["# Title\n"]),
        ("one\ntwo\n", []),
        ("one\ntwo\n\n", ["one\ntwo\n"]),
        ("```\ncode\n", []),
        ("```\ncode\n```\n", ["```\ncode\n```\n"]),
        ("$$\nx\n", []),
        ("one\n# two\n", ["one\n", "# two\n"]),
        ("Some:\n- a\n", ["Some:\n"]),
        ("- a\n- b\n\n", []),
        ("- a\n- b\n\nthree\n", ["- a\n- b\n\n"]),
        ("> a\n\n", ["> a\n"]),
        ("| a |\n|---|\n| b |\n\n", ["| a |\n|---|\n| b |\n"]),
        ("[a]: https://example.org\n\n", []),
    ],
)
def test_a_block_is_closed_as_soon_as_nothing_can_change_it(text: str, closed: list[str]) -> None:
    """A heading or a listing at its last line, a paragraph at the blank line, a list at what follows it."""
    assert [block.source for block in Splitter().feed(text)] == closed


def test_paragraph_after_paragraph_is_closed_at_its_blank_line() -> None:
    """A guess that was wrong before must not delay the next one that is right."""
    splitter = Splitter()
    for _ in range(20):
        splitter.feed("Some words, and some more of them.\n")
        assert len(splitter.feed("\n")) == 1


def test_a_heading_in_an_open_formula_closes_nothing() -> None:
    """What looks like a heading may be part of a formula whose end is still to come."""
    splitter = Splitter()
    assert splitter.feed("one\n$$\na\n# b\n") == []
    assert [block.source for block in splitter.feed("$$\n\n")] == ["one\n", "$$\na\n# b\n$$\n"]


def test_a_block_that_is_too_long_is_plain_up_to_its_end() -> None:
    """A listing is cut into plain pieces until its fence is closed; then Markdown goes on."""
    listing = "```\n" + "# no heading, but a comment that is long enough to fill it\n" * 3_000 + "```\n"
    blocks, _ = arriving(listing + "\n# heading\n", Random(0))
    assert [block.is_plain for block in blocks] == [True, True, True, False]
    assert "".join(block.source for block in blocks[:3]) == listing
    assert max(len(block.source) for block in blocks) <= BLOCK_LENGTH
    assert blocks == at_once(listing + "\n# heading\n")


def test_a_line_that_is_too_long_is_cut() -> None:
    """A megabyte without a line end does not stay open, and the paragraph after it is one again."""
    text = "é" * 1_000_000 + "\n\n*two*\n"
    blocks = at_once(text)
    assert "".join(block.source for block in blocks) == text
    assert [len(block.source) for block in blocks[:-2]] == [BLOCK_LENGTH] * 15
    assert not blocks[-1].is_plain
    splitter = Splitter()
    pieces = (text[at : at + 997] for at in range(0, len(text), 997))
    assert [block for piece in pieces for block in splitter.feed(piece)] == blocks[:-1]


def test_an_answer_of_too_many_blocks_is_plain_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever pieces it comes."""
    monkeypatch.setattr(splitting, "BLOCKS", 5)
    text = "[a]: https://example.org\n\n# h\n" * 20
    blocks, splitter = arriving(text, Random(5))
    assert [block.is_plain for block in blocks] == [False] * 5 + [True]
    assert "".join(block.source for block in blocks) == text
    assert blocks == at_once(text)
    assert splitter.end == len(text)


def test_the_end_is_told_in_the_browsers_units() -> None:
    """A wave is two UTF-16 code units."""
    assert units("a🌊é") == 4
    assert [block.end for block in at_once("# 🌊\n\nb")] == [5, 7]


def test_definitions_count_wherever_they_are() -> None:
    """Also those in quotes and lists, and the first of a label wins."""
    text = "[a] [b]\n\n> [a]: https://a.example\n\n- [b]: https://b.example\n\n[a]: https://other.example\n"
    blocks, splitter = arriving(text, Random(3))
    html = joined(blocks, splitter)
    assert "https://a.example" in html
    assert "https://b.example" in html
    assert "other" not in html


def test_a_definition_with_a_control_character_counts() -> None:
    """The splitter's parser and the one of the blocks read the same text: neither has NUL."""
    check("[a]:http://\0\n\n[a]", Random(1))
