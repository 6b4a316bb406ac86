"""Whole answers as blocks of HTML: of one that has ended, and of one that still grows."""

from __future__ import annotations

from typing import NamedTuple

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import SECONDS
from app.markdown.grammar import Definitions
from app.markdown.html.rendering import render
from app.markdown.plain import plain
from app.markdown.steps import BlockRenderer, Steps, cutting, finished, rendering


class Rendered(NamedTuple):
    """An answer as the page shows it."""

    blocks: list[str]  # HTML
    end: int  # how much of the text they cover, in UTF-16 code units
    tail: str = ""  # the text after them, which may still change its meaning


def render_block(block: Block, definitions: Definitions, seconds: float = SECONDS) -> str:
    """Return the HTML of a block."""
    return plain(block.source) if block.is_plain else render(block.source, definitions, seconds=seconds)


def document(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Return an answer that has ended."""
    return finished(document_steps(text, render_one))


def opened(text: str, render_one: BlockRenderer = render_block) -> Rendered:
    """Return an answer that still grows: links that are defined later are not links yet."""
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
