"""A text that grows by pieces is what its pieces come to, from any piece on, and takes little beside its characters."""

from __future__ import annotations

import tracemalloc
from random import Random

from app.chat.growing_text import GrowingText


def test_it_can_be_read_from_any_piece_on() -> None:
    """However the pieces come, also empty ones."""
    random = Random(1)
    text, pieces = GrowingText(), list[str]()
    while len(pieces) < 700:
        new = [
            random.choice(("", "a", "word ", "語", "🙂🙂")) for _ in range(random.choice((1, 1, 1, 5, 100)))
        ]
        text.add(new)
        pieces += new
        if random.random() < 0.01:
            text.join()
        assert len(text) == len(pieces)
        count = random.randrange(len(pieces) + 1)
        assert text.since(count) == "".join(pieces[count:])
    assert str(text) == "".join(pieces)
    assert text.since(len(pieces)) == ""


def test_a_long_text_is_not_kept_piece_by_piece() -> None:
    """Fewer than 20 bytes for a token of seven characters, where each by itself takes more than 60."""
    tracemalloc.start()
    try:
        text = GrowingText()
        for number in range(10_000):
            text.add([f" {number:06}"])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 10_000 < 20
