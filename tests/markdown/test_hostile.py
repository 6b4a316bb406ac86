"""Untrusted text: nothing in an answer runs, names, styles or fetches anything, or stalls the server."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Iterator
from functools import partial

import pytest

from app.markdown.blocks.splitting import Splitter
from app.markdown.bounds import BLOCK_LENGTH, BLOCK_LINES, BLOCKS, SECONDS
from app.markdown.html.rendering import render
from app.markdown.plain import plain
from tests.markdown.corpus import ANSWERS, EXAMPLES
from tests.markdown.corpus.hostile import HEAVY, HOSTILE
from tests.markdown.rendered import document, opened
from tests.markdown.shown import Shown
from tests.support.cost import measured

pytestmark = pytest.mark.slow

ALL = HOSTILE | EXAMPLES | ANSWERS
LONGEST = (
    4 * SECONDS
)  # of processor time, for one block: what is between two looks at the clock, and the sanitizer


@pytest.mark.parametrize("text", ALL.values(), ids=ALL.keys())
def test_nothing_harmful_is_left(text: str) -> None:
    """No script, handler, style, foreign scheme, id or name, wherever the text stands; and the HTML is well formed."""
    for around in ("{}", "> - {}", "before {} after", "| {} |\n|---|", "*{}*", "```\n{}"):
        shown = Shown("".join(document(around.format(text)).blocks))
        assert shown.wrong == []
        assert "img" not in shown.tags


def test_it_would_be_noticed() -> None:
    """The parser that looks for harm finds it."""
    for html in (
        "<script></script>",
        "<p onclick=x></p>",
        "<a href=javascript:x></a>",
        "<p id=x></p>",
        "<p><b>",
        "</p>",
    ):
        assert Shown(html).wrong


@pytest.fixture
def no_collections() -> Iterator[None]:
    """How long a collection of garbage takes depends on what all the other tests have left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY.keys())
def test_no_block_takes_long(text: str) -> None:
    """However much there is of what, each block has its time, and then it is plain text."""
    splitter = Splitter()
    blocks = splitter.feed(text) + splitter.finish()
    assert "".join(block.source for block in blocks) == text
    assert len(blocks) <= BLOCKS + 2 + len(text) // BLOCK_LENGTH + text.count("\n") // BLOCK_LINES
    for block in blocks[:20] + blocks[-5:]:
        assert len(block.source) <= BLOCK_LENGTH
        way = (
            partial(plain, block.source)
            if block.is_plain
            else partial(render, block.source, splitter.definitions)
        )
        took, html = measured(way, LONGEST)
        assert took <= LONGEST
        assert Shown(html).wrong == []


def test_the_time_is_bounded_and_the_text_stays() -> None:
    """A block that takes too long is shown as it was written."""
    text = "*a_ [b](" * 7_000
    html = render(text, {}, seconds=0.01)
    assert html.startswith('<pre class="plain">')
    assert Shown(html).text == text


def test_the_time_of_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is used up, what follows is plain text."""
    monkeypatch.setattr("app.markdown.steps.ANSWER_SECONDS", 0.0)
    assert document("*a*\n\n*b*").blocks == [plain("*a*\n"), plain("\n*b*")]


LISTS = "- a\n\n" * 60_000  # each item costs the grammar forty microseconds


def test_cutting_an_answer_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not cut by then is one block of plain text after those that were found."""
    monkeypatch.setattr("app.markdown.steps.CUTTING_SECONDS", 0.1)
    took, found = measured(partial(document, LISTS), 1.0)
    assert took <= 1.0
    assert Shown("".join(found.blocks)).text == LISTS
    assert (found.end, found.tail) == (len(LISTS), "")


class Ticking:
    """A clock by which each step takes 50 ms."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def thread_time(self) -> float:
        """See `time`."""
        return next(self._ticks) * 0.05


def test_what_is_not_cut_of_an_answer_in_progress_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks before it are those that its stream has, so the next ones can be added."""
    text = "*a*\n\n" * 60 + "😀"
    monkeypatch.setattr("app.markdown.steps.PIECE", 10)
    monkeypatch.setattr("app.markdown.steps.time", Ticking())
    found = opened(text)
    assert 0 < len(found.blocks) < 60
    assert found.blocks == opened(text[: found.end] + "\n").blocks
    assert text[found.end :] == found.tail


def test_a_long_answer_is_not_in_memory_line_by_line() -> None:
    """A page with it takes less than 20 times its size."""
    text = "a\n" * 150_000
    tracemalloc.start()
    try:
        document(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text)
    finally:
        tracemalloc.stop()


def test_depth_is_bounded_and_the_text_stays() -> None:
    """Ten thousand quotes in each other are plain text; forty are quotes."""
    deep = ">" * 10_000 + "deep"
    assert Shown("".join(document(deep).blocks)).text == deep
    assert Shown("".join(document(">" * 40 + "deep").blocks)).tags.count("blockquote") == 40


def test_bidirectional_controls_have_no_effect_and_are_copied() -> None:
    """Each one stands alone in an isolate of its own, so that it ends where it begins."""
    text = "\u202egpj.exe \u2066x\u2069"
    html = document(text).blocks[0]
    assert Shown(html).text == text
    assert html.count('<bdi class="control">') == 3
    assert "\u202e</bdi>" in html


def test_an_address_holds_no_control() -> None:
    """Neither a link nor its title says something else than it looks like."""
    html = document("[x](https://example.org/\u202eabc '\u202etitle')").blocks[0]
    assert Shown(html).wrong == []
    assert "\u202e" not in html.replace("\u202e</bdi>", "")


def test_what_is_open_is_rendered_with_the_same_care() -> None:
    """A live answer's blocks pass the same sanitizer."""
    for text in HOSTILE.values():
        assert Shown("".join(opened(text + "\n\nmore\n\n").blocks)).wrong == []
