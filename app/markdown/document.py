"""Whole answers as blocks of HTML: of one that has ended, and of one that still grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from app.markdown.bounds import ANSWER_SECONDS, SECONDS
from app.markdown.grammar import Definitions
from app.markdown.levels import Levels, leveled
from app.markdown.plain import plain
from app.markdown.rendering import render
from app.markdown.splitting import Block, Splitter


class Rendered(NamedTuple):
    """An answer as the page shows it."""

    blocks: list[str]  # HTML
    end: int  # how much of the text they cover, in UTF-16 code units
    tail: str = ""  # the text after them, which may still change its meaning


BlockRenderer = Callable[[Block, Definitions, float], str]  # the float: seconds that it may take


def render_block(block: Block, definitions: Definitions, seconds: float = SECONDS) -> str:
    """Return the HTML of a block."""
    return plain(block.source) if block.is_plain else render(block.source, definitions, seconds=seconds)


def document(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Return an answer that has ended."""
    splitter = Splitter()
    blocks = [*splitter.feed(text), *splitter.finish()]
    return Rendered(_render_all(blocks, splitter, render_one), splitter.end)


def opened(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Return an answer that still grows: links that are defined later are not links yet."""
    splitter = Splitter()
    blocks = splitter.feed(text)
    return Rendered(_render_all(blocks, splitter, render_one), splitter.end, splitter.tail)


def _render_all(blocks: list[Block], splitter: Splitter, render_one: BlockRenderer) -> list[str]:
    end = time.thread_time() + ANSWER_SECONDS
    levels, rendered = Levels(), list[str]()
    for block in blocks:
        html = render_one(block, splitter.definitions, min(SECONDS, end - time.thread_time()))
        html, levels = leveled(html, levels)
        rendered.append(html)
    return rendered
