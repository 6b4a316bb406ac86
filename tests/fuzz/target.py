"""What is searched: one text, as a listing of a language or as Markdown, and what has to be true of it."""

from __future__ import annotations

from functools import partial

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import COLOURED_LENGTH, SECONDS, Deadline, TooMuchError
from app.markdown.code.languages import LANGUAGES
from app.markdown.code.scanning import scan
from app.markdown.html.rendering import attempt
from tests.support.cost import measured

ONE_NAME = list({id(language): name for name, language in LANGUAGES.items()}.values())
LISTING_SECONDS = 0.4  # of processor time for 20 KB; a quiet machine takes 0.05
BLOCK_SECONDS = 4 * SECONDS
SPLIT_SECONDS = 2.0  # for as much as a few blocks hold; a quiet machine takes 0.3
LENGTH = 20_000


def listing(language: str, text: str) -> None:
    """Colour a listing. Raises `AssertionError` for what must not be."""
    text = text[:COLOURED_LENGTH]
    took, pieces = measured(partial(scan, text, LANGUAGES[language]), LISTING_SECONDS)
    assert took <= LISTING_SECONDS, f"{took:.2f} s for a listing of {language}"
    assert "".join(piece for _, piece in pieces) == text


def markdown(text: str) -> None:
    """Cut a text into blocks and render them. Raises `AssertionError` for what must not be."""
    took, (splitter, blocks) = measured(partial(cut, text), SPLIT_SECONDS)
    assert took <= SPLIT_SECONDS, f"{took:.2f} s to cut"
    assert "".join(block.source for block in blocks) == text
    for block in blocks[:3]:
        took, _ = measured(partial(rendered, block.source, splitter), BLOCK_SECONDS)
        assert took <= BLOCK_SECONDS, f"{took:.2f} s to render"


def cut(text: str) -> tuple[Splitter, list[Block]]:
    """Cut a text into blocks."""
    splitter = Splitter()
    return splitter, splitter.feed(text) + splitter.finish()


def rendered(source: str, splitter: Splitter) -> None:
    """Render a block, in the time that it has. Raises `AssertionError` if a rule fails."""
    try:
        attempt(source, splitter.definitions, Deadline(SECONDS))
    except TooMuchError as error:
        if error.__cause__ is not None:  # it did not take too long: it failed
            raise AssertionError(f"a rule failed: {error.__cause__!r}") from error


def repeated(before: str, piece: str, after: str) -> str:
    """Return a text that repeats a piece: that is how what is slow shows."""
    return before + piece * (LENGTH // max(1, len(piece))) + after
