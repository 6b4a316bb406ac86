"""The levels of headings: live, closed and reloaded the same, and none is skipped."""

from __future__ import annotations

import re
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.blocks.answer_blocks import AnswerBlocks, Closed
from app.web.blocks.renderer import Renderer
from tests.markdown.rendered import document, opened

LEVEL = re.compile(r"<h(\d)")


def levels(*blocks: str) -> list[int]:
    """Return the levels of the headings in these blocks."""
    return [int(level) for block in blocks for level in LEVEL.findall(block)]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ([1, 2, 3, 2, 1], [3, 4, 5, 4, 3]),
        ([2, 3, 3, 2], [3, 4, 4, 3]),
        ([3, 3, 4, 3], [3, 3, 4, 3]),
        ([3, 2, 1, 3], [3, 3, 3, 3]),
        ([1, 4, 4, 2], [3, 4, 5, 4]),
        ([2, 6, 1], [3, 4, 3]),
    ],
)
def test_an_answer_begins_below_its_message(written: list[int], shown: list[int]) -> None:
    """With whatever level it begins; what follows is as far below as it was written, but never two levels at once."""
    text = "".join(f"{'#' * level} Heading\n\ntext\n\n" for level in written)
    assert levels(*document(text).blocks) == shown
    assert levels(*opened(text + "more").blocks) == shown


async def told(text: str, size: int) -> list[str]:
    """Return the blocks that a page is told of while a text comes in pieces."""
    blocks: dict[int, Closed] = {}
    renderer = Renderer()
    try:
        live = AnswerBlocks(renderer, lambda closed: blocks.update({closed.number: closed}))
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        for closed in [*chain.from_iterable(map(live.add, pieces)), *live.finish()]:
            blocks[closed.number] = closed
        await live.settled()
    finally:
        renderer.close()
    return [blocks[number].html for number in sorted(blocks)]


@given(
    st.lists(
        st.sampled_from(["# a", "## b", "### c", "##### d", "e\n===", "f\n----", "> ## g", "- ### h", "[i]"])
    )
)
async def test_live_and_reloaded_are_the_same(pieces: list[str]) -> None:
    """Also where a link that is defined at the end changes a block with headings behind it."""
    text = "\n\n".join([*pieces, "[i]: https://a.example", "end"])
    blocks = document(text).blocks
    found = levels(*blocks)
    assert await told(text, 3) == blocks
    assert found[:1] in ([], [3])
    assert all(after <= before + 1 for before, after in pairwise(found))
