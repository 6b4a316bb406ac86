"""Measures how long an awaitable blocks the event loop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Timed(Generic[T]):
    """Awaits `awaitable`, and passes the seconds of each of its steps to `report`: the loop stands still meanwhile."""

    def __init__(self, awaitable: Awaitable[T], report: Callable[[float], None]) -> None:
        self._awaitable = awaitable
        self._report = report

    def __await__(self) -> Generator[Any, Any, T]:
        """Run the awaitable step by step."""
        iterator = self._awaitable.__await__()
        step: Callable[[Any], Any] = iterator.send
        value: Any = None
        while True:
            began = time.perf_counter()
            try:
                waited_for = step(value)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._report(time.perf_counter() - began)
            try:
                value = yield waited_for
                step = iterator.send
            except BaseException as error:  # noqa: BLE001 - it is the awaitable's, which decides
                step, value = iterator.throw, error
