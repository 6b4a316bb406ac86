"""Renders answers as blocks of HTML, in generators that can be paused between steps and resumed in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

from app.markdown.blocks.splitting import Block, Splitter, units
from app.markdown.bounds import (
    ANSWER_SECONDS,
    BLOCK_LENGTH,
    CUTTING_SECONDS,
    SECONDS,
    Deadline,
    TooMuchError,
)
from app.markdown.grammar import Definitions
from app.markdown.levels import Levels, leveled

PIECE = BLOCK_LENGTH  # characters that are split into lines at once
CUT_SECONDS = 0.05  # processor time per splitting step; doubled for each retry of a step that needs more

T = TypeVar("T")
Steps = Generator[None, None, T]
BlockRenderer = Callable[[Block, Definitions, float], str]  # the float is the time limit in seconds


class Rendered(NamedTuple):
    """A rendered answer."""

    blocks: list[str]  # the HTML of each block
    end: int  # the length of the source that the blocks cover, in UTF-16 code units
    tail: str = ""  # the source after `end`, which later text may still change


def document_steps(text: str, render_one: BlockRenderer, *, is_over: bool = True) -> Steps[Rendered]:
    """Render an answer. Links in one that is not over are not links until their definitions have arrived.

    Text that is not cut into blocks in `CUTTING_SECONDS` is one plain block, or stays open if the answer is not over.
    """
    splitter = Splitter()
    blocks: list[Block] = []
    yield from _in_time(cutting(splitter, text, blocks, is_over=is_over), CUTTING_SECONDS)
    tail = text[sum(len(block.source) for block in blocks) :]
    if is_over and tail:
        blocks.append(Block(tail, units(text), is_plain=True))
        tail = ""
    html = yield from _rendering(blocks, splitter.definitions, render_one)
    return Rendered(html, blocks[-1].end if blocks else 0, tail)


def cutting(splitter: Splitter, text: str, blocks: list[Block], *, is_over: bool) -> Steps[None]:
    """Append text to an answer, and to `blocks` those that have ended; all remaining blocks if it `is_over`."""
    # The lines of a long text would take dozens of times its memory.
    for place in range(0, len(text) or 1, PIECE):
        splitter.take(text[place : place + PIECE])
        yield
        yield from _cutting_due(splitter, blocks)
    seconds = CUT_SECONDS
    while is_over:
        try:
            blocks += splitter.finish(Deadline(seconds))
        except TooMuchError:
            seconds *= 2
            yield
        else:
            return


def _cutting_due(splitter: Splitter, blocks: list[Block]) -> Steps[None]:
    seconds = CUT_SECONDS
    while splitter.is_due:
        found = splitter.cut(Deadline(seconds))
        blocks += found
        seconds = CUT_SECONDS if found else 2 * seconds
        yield


def _in_time(steps: Steps[None], seconds: float) -> Steps[None]:
    """Take steps until they end, or until they have used up their processor time."""
    begun = time.thread_time()  # a step runs in a single thread
    for _ in steps:
        seconds -= time.thread_time() - begun
        if seconds <= 0:
            return
        yield
        begun = time.thread_time()


def _rendering(blocks: list[Block], definitions: Definitions, render_one: BlockRenderer) -> Steps[list[str]]:
    """Return the HTML of an answer's blocks, one block per step, in `ANSWER_SECONDS` of processor time in total."""
    rendered: list[str] = []
    levels = Levels()
    left = ANSWER_SECONDS
    for block in blocks:
        begun = time.thread_time()  # a step runs in a single thread
        html, levels = leveled(render_one(block, definitions, min(SECONDS, left)), levels)
        rendered.append(html)
        left -= time.thread_time() - begun
        yield
    return rendered
