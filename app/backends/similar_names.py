"""Finds names similar to an unknown one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

NEAREST = 5  # names returned
_CANDIDATES = 50  # names compared with the slow method
_LENGTH = 200  # characters of a name that are compared


def similar_names(wanted: str, names: Sequence[str]) -> list[str]:
    """Return up to `NEAREST` of the names, the most similar first; all of them in their order if there are no more.

    The exact comparison is slow, so a rough one first selects the candidates from possibly thousands of names.
    """
    if len(names) <= NEAREST:
        return list(names)
    meant = _folded(wanted)
    pairs = _pairs(meant)

    def roughly(name: str) -> float:
        others = _pairs(_folded(name))
        return len(pairs & others) / (len(pairs | others) or 1)

    candidates = sorted(names, key=roughly, reverse=True)[:_CANDIDATES]
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(meant)  # the matcher caches its analysis of the second sequence

    def closely(name: str) -> float:
        matcher.set_seq1(_folded(name))
        return matcher.ratio()

    return sorted(candidates, key=closely, reverse=True)[:NEAREST]


def _folded(name: str) -> str:
    return name[:_LENGTH].casefold()


def _pairs(text: str) -> set[str]:
    return {text[place : place + 2] for place in range(len(text) - 1)}
