"""`python -m tests.benchmarks.load`: every figure beside the smallest relay and the goals, in about two minutes.

Both servers run on uvloop, in a process each, on one core; the load and the model share the other. Rounds
alternate, ratios are taken within a round, and a figure is the median of its rounds (lowest to highest).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import sys
import time

import uvloop

from tests.benchmarks.load.figures import run
from tests.benchmarks.load.scale import QUICK, Scale
from tests.benchmarks.load.servers import Cores
from tests.benchmarks.load.table import render

OPEN_FILES = 8192  # a thousand waiting streams are two thousand sockets here, and in the server


def main() -> int:
    """Run and print the table."""
    arguments = _arguments()
    scale = QUICK if arguments.quick else Scale()
    if arguments.rounds:
        scale = scale._replace(rounds=arguments.rounds)
    _allow_files()
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})
    gc.freeze()
    load = os.getloadavg()[0]  # of others, as yet
    began, used = time.perf_counter(), time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(run(scale, cores))
    seconds = time.perf_counter() - began
    busy = (time.process_time() - used) / seconds
    print(render(rows))
    print(
        f"\n{seconds:.0f} s; load and model used {busy:.0%} of their core. Goals are for ours, or with x for the ratio."
    )
    print(
        f"Load average before: {load:.1f}. On a busy machine tokens arrive in heaps: times and costs say little then."
    )
    if cores.server == cores.load:
        print("This machine has one core: the load takes from the servers, and the times say little.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small run that only shows that everything works"
    )
    parser.add_argument("--rounds", type=int, help="rounds of the paced and the fast streams")
    return parser.parse_args()


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
