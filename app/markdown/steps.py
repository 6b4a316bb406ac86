"""Long work in steps, so that it can be interrupted between them and go on in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import ANSWER_SECONDS, SECONDS, Deadline, TooMuchError
from app.markdown.grammar import Definitions
from app.markdown.levels import Levels, leveled

CUT_SECONDS = 0.05  # of processor time, for one step of a cut; what needs more gets more in the next step

T = TypeVar("T")
Steps = Generator[None, None, T]
BlockRenderer = Callable[[Block, Definitions, float], str]  # the float: seconds that it may take


def finished(steps: Steps[T]) -> T:
    """Do all the steps at once; return their result."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result


def cutting(splitter: Splitter, text: str, *, is_over: bool) -> Steps[list[Block]]:
    """Take in the next piece of an answer, and return the blocks that have ended; all of them if it `is_over`."""
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


def rendering(blocks: list[Block], definitions: Definitions, render_one: BlockRenderer) -> Steps[list[str]]:
    """Return the HTML of an answer's blocks, a block a step. All of them have `ANSWER_SECONDS`."""
    rendered: list[str] = []
    levels = Levels()
    left = ANSWER_SECONDS
    for block in blocks:
        begun = time.thread_time()  # a step stays in its thread
        html, levels = leveled(render_one(block, definitions, min(SECONDS, left)), levels)
        rendered.append(html)
        left -= time.thread_time() - begun
        yield
    return rendered
