"""Ways to look at one answer: cut into pieces as they arrive, or parsed as a whole."""

from __future__ import annotations

from random import Random

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import Deadline
from app.markdown.html.rendering import PARSER, render
from app.markdown.html.sanitizing import sanitize

PATIENT = 60.0  # seconds: what is compared here must not depend on the machine


def arriving(text: str, random: Random) -> tuple[list[Block], Splitter]:
    """Feed `text` in random pieces, as tokens come; return its blocks, and what cut them."""
    splitter = Splitter()
    blocks: list[Block] = []
    position = 0
    while position < len(text):
        length = random.choice((1, 2, 3, 4, 5, 8, 30))
        blocks += splitter.feed(text[position : position + length])
        position += length
    return blocks + splitter.finish(), splitter


def at_once(text: str) -> list[Block]:
    """Return the blocks of a text that is there already."""
    splitter = Splitter()
    return splitter.feed(text) + splitter.finish()


def joined(blocks: list[Block], splitter: Splitter) -> str:
    """Return the HTML of blocks, one after the other."""
    html = [render(block.source, splitter.definitions, seconds=PATIENT) for block in blocks]
    return "".join(f"{one}\n" for one in html if one)


def whole(text: str) -> str:
    """Return the HTML of a text by parsing all of it at once, with nothing cut."""
    return sanitize(PARSER.render(text, {"deadline": Deadline(PATIENT)}))
