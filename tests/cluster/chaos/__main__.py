"""`python -m tests.cluster.chaos`: the long run, with its table; exit 1 unless all that must be 0 there is."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.cluster.chaos.faults import FAULTS
from tests.cluster.chaos.run import Chaos, Result, Size
from tests.cluster.chaos.table import drawn
from tests.cluster.harness.running import running_cluster
from tests.support.postgres import running_postgres

SETTINGS = {"CONTINUE": "auto", "LOG_BYTES": str(64 * 1024 * 1024)}  # a whole run stays in the logs


async def chaos(
    folder: Path, database_url: str, kinds: list[str], size: Size, seed: str
) -> dict[str, Result]:
    """Run each kind of fault by itself, with sessions of its own."""
    results = {}
    async with running_cluster(folder, database_url, settings=SETTINGS) as cluster:
        for number, kind in enumerate(kinds):
            print(f"{kind} …", flush=True)
            results[kind] = await Chaos(cluster, [kind], size, f"{seed} {kind}", prefix=f"c{number}-").run()
            tell(results[kind])
    return results


def tell(result: Result) -> None:
    """Print what was found, in words."""
    for problem in result.problems:
        print(f"  PROBLEM {problem}", flush=True)
    print(
        f"  {result.found.events} events compared; "
        f"{result.overlaps_upstream} sessions had two answers at the model server for a while; "
        f"this machine was late by up to {result.late:.2f} s",
        flush=True,
    )


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos", description=__doc__)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--times", type=int, default=30, help="how often each fault strikes")
    parser.add_argument("--most", type=float, default=10.0, help="seconds that a fault lasts, at most")
    parser.add_argument("--only", default="", help="kinds of faults, separated by commas")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10_000)))
    arguments = parser.parse_args()
    kinds = [kind.strip() for kind in arguments.only.split(",") if kind.strip()] or list(FAULTS)
    if unknown := set(kinds) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    size = Size(arguments.sessions, arguments.viewers, arguments.times, arguments.most)
    print(f"3 nodes, {size}, seed {arguments.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tailrace-chaos-"))
    with running_postgres() as postgres:

        async def run() -> dict[str, Result]:
            return await chaos(folder, await postgres.database(), kinds, size, arguments.seed)

        results = asyncio.run(run())
    print(drawn(results))
    print(f"the logs of the nodes are in {folder}")
    return int(any(result.problems for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
