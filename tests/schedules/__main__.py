"""`python -m tests.schedules` explores until told to stop or until it finds something; `--replay` runs one schedule."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from random import Random

from tests.schedules import library
from tests.schedules.choices import Walking, read_token
from tests.schedules.scenarios import SCENARIOS
from tests.schedules.shrinking import Failure, replay, shrink
from tests.schedules.walks import walk
from tests.schedules.world import PRODUCT, play

SMALL_PER_LARGE = 40  # a long walk takes about as long as this many walks through small scenarios


def explore(seed: int) -> Failure | None:
    """Walk at random, a line of progress a second, until something fails."""
    random = Random(seed)
    began = told = time.monotonic()
    for count in itertools.count(1):
        scenario = random.choice(SCENARIOS) if count % SMALL_PER_LARGE else walk(random.getrandbits(48))
        chooser = Walking(Random(random.getrandbits(64)))
        if violation := play(scenario, chooser):
            print(f"{violation}. Shrinking …", flush=True)
            return shrink(scenario, chooser, violation, PRODUCT)
        if (now := time.monotonic()) - told >= 1:
            told = now
            print(f"{now - began:6.0f} s  {count:,} schedules  seed {seed}", flush=True)
    raise AssertionError("counting never ends")


def main() -> int:
    """Return 1 if an invariant broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.schedules", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the random walks")
    parser.add_argument("--replay", metavar="TOKEN", help="run this one schedule, and tell its story")
    parser.add_argument(
        "--on", choices=sorted(library.subjects()), default="product", help="whom to replay on"
    )
    options = parser.parse_args()
    try:
        if options.replay:
            name, script = read_token(options.replay)
            failure = replay(library.scenario(name), script, library.subjects()[options.on])
        else:
            failure = explore(options.seed)
    except KeyboardInterrupt:
        return 0
    print(failure or "Every invariant held.")
    return int(failure is not None)


if __name__ == "__main__":
    sys.exit(main())
