"""Renders whole answers as blocks of HTML: answers that have ended, and answers in progress."""

from __future__ import annotations

from typing import NamedTuple

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import SECONDS
from app.markdown.grammar import Definitions
from app.markdown.html.rendering import render
from app.markdown.plain import plain
from app.markdown.steps import BlockRenderer, Steps, cutting, finished, rendering


class Rendered(NamedTuple):
    """A rendered answer."""

    blocks: list[str]  # the HTML of each block
    end: int  # the length of the source that the blocks cover, in UTF-16 code units
    tail: str = ""  # the source after `end`, which later text may still change


def render_block(block: Block, definitions: Definitions, seconds: float = SECONDS) -> str:
    """Return the HTML of a block. Takes at most about `seconds` of processor time."""
    return plain(block.source) if block.is_plain else render(block.source, definitions, seconds=seconds)


def document(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Render an answer that has ended."""
    return finished(document_steps(text, render_one))


def opened(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Render an answer in progress. Links whose definitions have not arrived are not links yet."""
    return finished(opened_steps(text, render_one))


def document_steps(text: str, render_one: BlockRenderer) -> Steps[Rendered]:
    """See `document`."""
    splitter = Splitter()
    blocks = yield from cutting(splitter, text, is_over=True)
    html = yield from rendering(blocks, splitter.definitions, render_one)
    return Rendered(html, splitter.end)


def opened_steps(text: str, render_one: BlockRenderer) -> Steps[Rendered]:
    """See `opened`."""
    splitter = Splitter()
    blocks = yield from cutting(splitter, text, is_over=False)
    html = yield from rendering(blocks, splitter.definitions, render_one)
    return Rendered(html, splitter.end, splitter.tail)
