"""Whole answers as HTML, rendered in one go."""

from __future__ import annotations

from app.markdown.blocks.splitting import Block
from app.markdown.grammar import Definitions
from app.markdown.html.rendering import render
from app.markdown.plain import plain
from app.markdown.steps import BlockRenderer, Rendered, document_steps


def render_block(block: Block, definitions: Definitions, seconds: float) -> str:
    """Return the HTML of a block."""
    return plain(block.source) if block.is_plain else render(block.source, definitions, seconds=seconds)


def document(text: str, render_one: BlockRenderer = render_block, *, is_over: bool = True) -> Rendered:
    """Render an answer that has ended."""
    steps = document_steps(text, render_one, is_over=is_over)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            rendered: Rendered = stop.value
            return rendered


def opened(text: str) -> Rendered:
    """Render an answer in progress."""
    return document(text, is_over=False)
