"""Ports for servers that have to know theirs before they start."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below those that Linux gives to connections and to who asks for any port (`ip_local_port_range`, from 32,768 on): one
# of these would be somebody else's before its server has started, now and then.
FIRST, LAST = 10_100, 32_000  # Chromium opens no page at 10080
EACH = 500  # of a process, so that those that run tests side by side do not look for the same ones
BLOCKS = (LAST - FIRST) // EACH
_counter = itertools.count(random.randrange(EACH))


def free_port() -> int:
    """Return a port that nobody listens on, and that this process gets again only after `EACH` others."""
    for _ in range(EACH):
        port = FIRST + _block() * EACH + next(_counter) % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"all of the {EACH} ports from {FIRST + _block() * EACH} on are in use")


def _block() -> int:
    """Return the number of this process's block: a worker's own one, else one that goes by the process."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    half = BLOCKS // 2
    return int(worker) % half if worker.isdigit() else half + os.getpid() % half
