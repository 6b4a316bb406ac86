"""The limits of rendering: what counts as its time."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from app.markdown.bounds import Deadline, TooMuchError

SECONDS = 0.01


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """Garbage is collected when a test says so."""
    gc.disable()
    yield
    gc.enable()


def use_up(seconds: float) -> None:
    """Use processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() <= end:
        pass


def test_there_is_no_more_time_than_was_given() -> None:
    """Of the processor, in this thread."""
    deadline = Deadline(SECONDS)
    deadline.check()
    use_up(SECONDS)
    with pytest.raises(TooMuchError):
        deadline.check()


def test_a_collection_of_garbage_is_not_the_text_s_fault() -> None:
    """The time is allowed once more, and no more than once."""
    deadline = Deadline(SECONDS)
    use_up(SECONDS)
    gc.collect()
    deadline.check()
    use_up(SECONDS)
    gc.collect()
    with pytest.raises(TooMuchError):
        deadline.check()
