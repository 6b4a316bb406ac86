"""What a piece of work costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
TRIES = 5
HOPELESS = 10  # times `enough`: nothing else that the machine does adds so much


def measured(work: Callable[[], T], enough: float) -> tuple[float, T]:
    """Return the processor seconds that `work` takes, and its result.

    They are those of the first run that takes `enough` at most, else the least of `TRIES`. What else the machine does
    adds to a run, now and then a tenth of a second; what the work itself takes, it takes each time.
    """
    least, result = _run(work)
    for _ in range(1, TRIES):
        if not enough < least < HOPELESS * enough:
            break
        took, result = _run(work)
        least = min(least, took)
    return least, result


def _run(work: Callable[[], T]) -> tuple[float, T]:
    began = time.thread_time()
    result = work()
    return time.thread_time() - began, result
