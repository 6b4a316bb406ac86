"""The HTTP sessions that are made in a block. One that is left open is a warning of some later test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiohttp


@contextmanager
def none_left_open() -> Iterator[None]:
    """Assert that every `aiohttp.ClientSession` made in the block is closed at its end."""
    made: list[aiohttp.ClientSession] = []
    init = aiohttp.ClientSession.__init__

    def noted(self: aiohttp.ClientSession, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        made.append(self)

    with mock.patch.object(aiohttp.ClientSession, "__init__", noted):
        yield
    left = [session for session in made if not session.closed]
    assert not left, f"{len(left)} of {len(made)} HTTP sessions are left open"
