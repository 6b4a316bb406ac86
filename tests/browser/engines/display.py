"""A display in memory, for a browser that has no headless mode of its own."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import end

START_TIMEOUT = 30.0  # s
STOP_TIMEOUT = 10.0  # s
SCREEN = "1400x1000x24"


@contextmanager
def display(executable: str) -> Iterator[str]:
    """Run Xvfb; yields the name of its display."""
    read, write = os.pipe()
    command = [executable, "-displayfd", str(write), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    with subprocess.Popen(
        command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(write)
        try:
            yield f":{_number(read)}"
        finally:
            os.close(read)
            end(process, STOP_TIMEOUT)


def _number(read: int) -> int:
    """Return the number of the display, which Xvfb writes once it is ready."""
    if select.select([read], [], [], START_TIMEOUT)[0] and (text := os.read(read, 16)):
        return int(text)
    raise RuntimeError("Xvfb did not start")
