"""Whole answers as blocks of HTML: of one that has ended, and of one that still grows."""

from __future__ import annotations

import time
from typing import NamedTuple

from app.markdown.bounds import ANSWER_SECONDS, SECONDS
from app.markdown.plain import plain
from app.markdown.rendering import render
from app.markdown.splitting import Block, Splitter


class Rendered(NamedTuple):
    """An answer as the page shows it."""

    blocks: list[str]  # HTML
    end: int  # how much of the text they cover, in UTF-16 code units
    tail: str = ""  # the text after them, which may still change its meaning


def document(text: str) -> Rendered:
    """Return an answer that has ended."""
    splitter = Splitter()
    blocks = [*splitter.feed(text), *splitter.finish()]
    return Rendered(_render_all(blocks, splitter), splitter.end)


def opened(text: str) -> Rendered:
    """Return an answer that still grows: links that are defined later are not links yet."""
    splitter = Splitter()
    blocks = splitter.feed(text)
    return Rendered(_render_all(blocks, splitter), splitter.end, splitter.tail)


def _render_all(blocks: list[Block], splitter: Splitter) -> list[str]:
    end = time.thread_time() + ANSWER_SECONDS
    return [
        plain(block.source)
        if block.is_plain
        else render(block.source, splitter.definitions, seconds=min(SECONDS, end - time.thread_time()))
        for block in blocks
    ]
