"""Which entries of a model list are used: those with names that can be shown, stored and sent back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from app.backends.errors.masking import Secrets

MAX_MODELS = 5000  # of one server
MAX_NAME = 256  # characters


class Named(Protocol):
    """An entry of a list."""

    @property
    def name(self) -> str:
        """The server's own name for the model."""
        ...


Entry = TypeVar("Entry", bound=Named)


def usable(entries: Iterable[Entry], secrets: Secrets) -> list[Entry]:
    """Return the first `MAX_MODELS` entries that have usable names, each name once."""
    return list(islice(_usable(entries, secrets), MAX_MODELS))


def _usable(entries: Iterable[Entry], secrets: Secrets) -> Iterator[Entry]:
    seen: set[str] = set()
    for entry in entries:
        name = entry.name
        if name not in seen and is_name(name) and not secrets.are_in(name):
            seen.add(name)
            yield entry


def is_name(name: str) -> bool:
    """Return whether a name is short, and has no characters that control or hide what is shown (Unicode's C and Z)."""
    return 0 < len(name) <= MAX_NAME and name.isprintable() and not name.isspace()
