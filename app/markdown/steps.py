"""Long jobs as generators, which can be paused between steps and resumed in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import ANSWER_SECONDS, SECONDS, Deadline, TooMuchError
from app.markdown.grammar import Definitions
from app.markdown.levels import Levels, leveled

CUT_SECONDS = 0.05  # processor time per splitting step; doubled for each retry of a step that needs more

T = TypeVar("T")
Steps = Generator[None, None, T]
BlockRenderer = Callable[[Block, Definitions, float], str]  # the float is the time limit in seconds


def finished(steps: Steps[T]) -> T:
    """Run a job to its end; return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result


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


def rendering(blocks: list[Block], definitions: Definitions, render_one: BlockRenderer) -> Steps[list[str]]:
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
