"""`python -m tests.benchmarks.load`: every figure beside its peers and the goals.

Each server runs on one core; the load and the model share another. Rounds alternate, ratios are taken within a round,
and a figure is the median of its rounds (lowest to highest). Processor time is what the operating system counted for a
server's processes and threads.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import sys
import time
from pathlib import Path

import uvloop

from tests.benchmarks.load.bench import QUICK, Scale
from tests.benchmarks.load.report import docs, plot
from tests.benchmarks.load.report.as_json import document
from tests.benchmarks.load.report.reasons import missed
from tests.benchmarks.load.report.table import render
from tests.benchmarks.load.run import SCENARIOS, run
from tests.benchmarks.load.servers.cores import Cores

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
        results = runner.run(run(scale, cores, arguments.only))
    seconds = time.perf_counter() - began
    busy = (time.process_time() - used) / seconds
    print(render(results.rows))
    for figures, why in missed(results.rows):
        print(f"\n{figures}\n  {why}")
    if arguments.json:
        arguments.json.write_bytes(document(results.rows, results.missing, load, seconds))
    if arguments.plot:
        arguments.plot.write_text(plot.render(results.rows), encoding="utf-8")
    if arguments.docs:
        docs.write(results.rows, results.missing, load, scale.rounds)
    print(
        f"\n{seconds:.0f} s; load and model used {busy:.0%} of their core. Goals are for ours, or with x for the ratio."
    )
    if arguments.quick:
        print("A quick run shows that everything works. Its figures say nothing: too little is measured.")
    for name, reason in results.missing.items():
        print(f"{name} is missing: {reason}")
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
    parser.add_argument("--rounds", type=int, help="rounds of each scenario")
    parser.add_argument(
        "--only", type=_names, default=list(SCENARIOS), help=f"some of: {','.join(SCENARIOS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures and rounds to a file")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write the plot of `growth` to a file, as SVG"
    )
    parser.add_argument(
        "--docs", action="store_true", help="put the table and the plot into docs/performance.md"
    )
    return _checked(parser)


def _checked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    arguments = parser.parse_args()
    if arguments.plot and "growth" not in arguments.only:
        parser.error("--plot shows what `growth` measures: add it to --only")
    if arguments.docs and (arguments.quick or len(arguments.only) < len(SCENARIOS)):
        parser.error("--docs wants the whole benchmark: leave out --only and --quick")
    return arguments


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(
            f"no scenario is called {unknown[0]!r}; there are {', '.join(SCENARIOS)}"
        )
    return names


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
