"""The cost of an answer grows with its length, and not faster."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from app.markdown.blocks.splitting import Splitter
from tests.markdown.corpus import ANSWERS
from tests.markdown.corpus.hostile import HEAVY

pytestmark = pytest.mark.slow

LENGTH = 100_000


def costs(text: str, piece: int) -> list[int]:
    """Return how many characters were parsed for each tenth of `text`."""
    splitter = Splitter()
    marks = [0]
    for tenth in range(10):
        part = text[tenth * len(text) // 10 : (tenth + 1) * len(text) // 10]
        for position in range(0, len(part), piece):
            splitter.feed(part[position : position + piece])
        marks.append(splitter.parsed)
    return [after - before for before, after in pairwise(marks)]


def long_answer() -> str:
    """Return 100 KB of answers of models, in an order that repeats nothing soon."""
    random = Random(7)
    texts = [text for name, text in ANSWERS.items() if name != "long"]  # that one ends in an open listing
    parts: list[str] = []
    while sum(map(len, parts)) < LENGTH:
        parts += random.sample(texts, len(texts))
    return "\n\n".join(parts)[:LENGTH]


def test_the_last_tenth_costs_what_the_first_does() -> None:
    """Of an answer of 100 KB, token by token; and each character is parsed a few times."""
    tenths = costs(long_answer(), 4)
    assert tenths[-1] <= 1.5 * tenths[0]
    assert sum(tenths) <= 5 * LENGTH


@pytest.mark.parametrize(
    "line",
    [
        "- item {}\n",
        "- item {}\n\n",
        "- [x] task {}\n",
        "> quote {}\n",
        "word {}\n",
        "    code {}\n",
        "| {} |\n",
        "1. a\n\n   # b {}\n",
        "\t\n",
    ],
)
def test_a_block_that_never_ends_costs_a_few_parses(line: str) -> None:
    """It is looked at again when it has grown by a quarter, whatever its lines look like."""
    text = "".join(line.format(number) for number in range(LENGTH // len(line)))[:60_000]
    assert sum(costs(text, 4)) <= 8 * len(text)


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY.keys())
def test_hostile_texts_are_split_in_linear_time(text: str) -> None:
    """No character is parsed more than a few times, in whatever pieces it comes."""
    for piece in (7, 4096):
        splitter = Splitter()
        for position in range(0, len(text), piece):
            splitter.feed(text[position : position + piece])
        splitter.finish()
        assert splitter.parsed <= 8 * len(text) + 10_000
