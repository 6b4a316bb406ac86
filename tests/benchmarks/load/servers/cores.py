"""Who runs where: the servers have one core, the load and the model another."""

from __future__ import annotations

import os
from typing import NamedTuple


class Cores(NamedTuple):
    """The core of the servers, and that of the load and the model. The same on a machine with one."""

    server: int
    load: int

    @classmethod
    def choose(cls) -> Cores:
        """Take the last and the first core that there are."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[-1], cores[0])
