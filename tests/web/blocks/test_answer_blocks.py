"""An answer that is being written: the loop does little of it at a time, and the blocks are the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from app.markdown.blocks import boundaries
from app.web.blocks.answer_blocks import AnswerBlocks, Closed
from app.web.blocks.renderer import SMALL, Renderer
from tests.markdown.corpus import ANSWERS
from tests.markdown.pieces import at_once
from tests.markdown.rendered import document

HOSTILE = {
    "details in quotes": "\tx" + "<details>x\u0301\n\n" * 3_000,
    "items": "1. `.\n" * 5_000,
    "definitions, quotes and lists": "[a]:\n\"x\n> - 'y\n" * 2_000,
    "quotes of definitions": '> [a]: b "\n> - 1. [a]:\n' * 1_200,
    "tables": "|a|b|\n|-|-|\nhttp://[+" * 800,
    "nested": "\n".join("  " * (depth % 40) + "- x" for depth in range(2_500)),
}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


def html(told: list[Closed]) -> list[str]:
    """Return the blocks that a page shows: one that comes again replaces the earlier one."""
    shown = {closed.number: closed.html for closed in told}
    return [shown[number] for number in sorted(shown)]


@pytest.mark.slow
@pytest.mark.parametrize("piece", [5, 900, 50_000])
@pytest.mark.parametrize("text", [*ANSWERS.values(), *HOSTILE.values()], ids=[*ANSWERS, *HOSTILE])
async def test_blocks_are_those_of_the_whole(text: str, piece: int, renderer: Renderer) -> None:
    """In their order, whatever was done beside the loop; and nothing holds the loop for long."""
    told: list[Closed] = []
    answer = AnswerBlocks(renderer, told.append)
    for start in range(0, len(text), piece):
        told += answer.add(text[start : start + piece])
        await asyncio.sleep(0)  # each piece is a turn of its own, which the suite measures
    told += answer.finish()
    await answer.settled()
    first_times = list(dict.fromkeys(closed.number for closed in told))
    assert first_times == sorted(first_times)
    assert [block.end for block in await asyncio.to_thread(at_once, text)] == list(
        dict.fromkeys(closed.end for closed in told)
    )
    if text in ANSWERS.values():  # what the others look like is a matter of time
        assert html(told) == (await asyncio.to_thread(document, text)).blocks


@pytest.mark.slow
async def test_the_loop_cuts_no_long_text(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is open and long, or comes as a long piece, no line is parsed in the loop's thread."""
    parsed: list[bool] = []
    find = boundaries.find

    def noted(lines: list[str], **how: Any) -> Any:
        long = sum(map(len, lines)) > SMALL
        parsed.append(long and threading.current_thread() is threading.main_thread())
        return find(lines, **how)

    monkeypatch.setattr("app.markdown.blocks.splitting.find", noted)
    for piece in (5, 100_000):
        answer = AnswerBlocks(renderer, lambda _: None)
        text = "- a\n" * 10_000
        for start in range(0, len(text), piece):
            answer.add(text[start : start + piece])
            await asyncio.sleep(0)
        answer.finish()
        await answer.settled()
    assert parsed
    assert not any(parsed)


async def test_what_is_open_is_whole_while_it_is_cut(renderer: Renderer) -> None:
    """A page that opens the last block again gets all of the text, also of what a thread is at work on."""
    answer = AnswerBlocks(renderer, lambda _: None)
    text = "word\n" * 10_000
    answer.add(text)
    answer.add("more")
    number, end, tail = answer.open_again
    assert (number, end, tail) == (0, 0, text + "more")
    await answer.settled()
    number, end, tail = answer.open_again
    assert text[end:] + "more" == tail


@pytest.mark.slow
async def test_pieces_of_any_length_end_in_the_same_blocks(renderer: Renderer) -> None:
    """Also where an answer ends while a thread is at work."""
    text = "".join(random_lines(Random(4)))
    told: list[Closed] = []
    answer = AnswerBlocks(renderer, told.append)
    position = 0
    random = Random(5)
    while position < len(text):
        length = random.choice((1, 40, 9_000, 20_000))
        told += answer.add(text[position : position + length])
        position += length
        await asyncio.sleep(random.choice((0, 0.001)))
    told += answer.finish()
    await answer.settled()
    assert html(told) == (await asyncio.to_thread(document, text)).blocks


def random_lines(random: Random) -> list[str]:
    """Return the lines of an answer that makes no sense."""
    lines = [
        "- a\n",
        "text\n",
        "\n",
        "```\n",
        "> q\n",
        "| a |\n|---|\n",
        "[l]: https://example.org\n",
        "see [l]\n",
        "1. b\n",
    ]
    return [random.choice(lines) for _ in range(20_000)]


async def test_a_cut_that_fails_is_reported_and_ends_nothing(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is there, and a reload shows its blocks."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("broken")

    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    monkeypatch.setattr("app.markdown.blocks.splitting.find", fail)
    answer = AnswerBlocks(renderer, lambda _: None)
    answer.add("word\n" * 10_000)
    await answer.settled()
    answer.add("more")
    answer.finish()
    await answer.settled()
    assert reported == ["an answer could not be cut into blocks"]
