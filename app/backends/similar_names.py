"""Finds names similar to an unknown one."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

NEAREST = 5  # names returned
_LENGTH = 200  # characters of a name that are compared


def similar_names(wanted: str, names: Sequence[str]) -> list[str]:
    """Return up to `NEAREST` of the names, the most similar first; all of them in their order if there are no more.

    Two names are as similar as the pairs of adjacent letters that they share are among all their pairs (Jaccard index).
    """
    pairs = _pairs(wanted)

    def likeness(name: str) -> float:
        others = _pairs(name)
        return len(pairs & others) / (len(pairs | others) or 1)

    return nlargest(NEAREST, names, key=likeness) if len(names) > NEAREST else list(names)


def _pairs(name: str) -> set[str]:
    text = name[:_LENGTH].casefold()
    return {text[place : place + 2] for place in range(len(text) - 1)}
