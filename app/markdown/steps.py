"""Renders answers as blocks of HTML, in generators that can be paused between steps and resumed in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import ANSWER_SECONDS, SECONDS, Deadline, TooMuchError
from app.markdown.grammar import Definitions
from app.markdown.levels import Levels, leveled

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
    """Render an answer. Links in one that is not over are not links until their definitions have arrived."""
    splitter = Splitter()
    blocks = yield from cutting(splitter, text, is_over=is_over)
    html = yield from _rendering(blocks, splitter.definitions, render_one)
    return Rendered(html, splitter.end, splitter.tail)


def cutting(splitter: Splitter, text: str, *, is_over: bool) -> Steps[list[Block]]:
    """Append text to an answer and return the blocks that have ended; all remaining blocks if it `is_over`."""
    splitter.take(text)
    blocks: list[Block] = []
    seconds = CUT_SECONDS
    while splitter.is_due:
        found = splitter.cut(Deadline(seconds))
        blocks += found
        seconds = CUT_SECONDS if found else 2 * seconds
        yield
    while is_over:
        try:
            return blocks + splitter.finish(Deadline(seconds))
        except TooMuchError:
            seconds *= 2
        yield
    return blocks


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
