"""`python -m tests.benchmarks.cost` counts and compares with the baseline; `--update` stores what was counted."""

from __future__ import annotations

import argparse
import asyncio
import sys

from tests.benchmarks.cost import baseline
from tests.benchmarks.cost.measure import measure
from tests.machine import PROGRAMS


def main() -> int:
    """Return 1 if a cost has grown too much and is not stored."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cost", description=__doc__)
    parser.add_argument(
        "--update", action="store_true", help="store the costs as the baseline of this CPython"
    )
    arguments = parser.parse_args()
    if PROGRAMS["valgrind"].find() is None:
        print("valgrind is not installed, so nothing can be counted (Debian: apt-get install valgrind)")
        return 2
    costs = asyncio.run(measure())
    before = baseline.stored()
    for name, cost in costs.items():
        known = f"; the baseline is {before[name]:.3f}" if name in before else ""
        print(f"{name}: {cost}{known}")
    ratios = {name: cost.ratio for name, cost in costs.items()}
    if arguments.update:
        baseline.store(ratios)
        print(f"Stored for CPython {baseline.release()}.")
        return 0
    found = list(baseline.grown(ratios, before)) if before else []
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
