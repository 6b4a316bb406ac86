"""The stored costs, by release of CPython, and how a measurement is compared with them.

Patch releases differ, too, as do the compilers that they are built with: between 3.11.2 and 3.11.7 by a sixth.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("baseline.json")
GROWTH = 0.10  # the most that a cost may grow without a new baseline

Ratios = dict[str, float]  # by what costs it


def release() -> str:
    """Return the release of CPython that runs, as 3.11.2."""
    return platform.python_version()


def stored() -> Ratios:
    """Return the costs stored for this release, empty if there are none."""
    return releases().get(release(), {})


def store(ratios: Mapping[str, float]) -> None:
    """Store costs for this release."""
    every = {**releases(), release(): {name: round(ratio, 4) for name, ratio in ratios.items()}}
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(every.items()))), indent=2) + b"\n")


def releases() -> dict[str, Ratios]:
    """Return the stored costs of all releases."""
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Ratios]) if FILE.exists() else {}


def grown(ratios: Mapping[str, float], before: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence for each cost that has grown too much."""
    for name, ratio in ratios.items():
        growth = ratio / before[name] - 1
        if growth > GROWTH:
            yield (
                f"{name} costs {ratio:.3f} x as many instructions as in the relay, {growth:.0%} more than the "
                f"baseline of {before[name]:.3f}. If that is meant, `make cost ARGS=--update` stores a new baseline."
            )
