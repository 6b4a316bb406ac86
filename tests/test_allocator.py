"""What large blocks took goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app import allocator
from tests.support.processes import ROOT

MIB = 1024 * 1024
# The first freed block would raise the threshold; the ones after it would then come from the heap, and the small one
# on top of them would keep them there.
PROGRAM = """
import sys
from app import allocator
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[1] == "set":
    assert allocator.return_large_blocks()
del (first := [bytes(24 * 1024 * 1024)])[:]
before = resident()
large = [b"x" * (4 * 1024 * 1024) for _ in range(8)]
small = [b"y" * 100_000 for _ in range(8)]
del large[:]
print(resident() - before)
"""


def kept(mode: str) -> int:
    """Return how many bytes of 32 MiB a process still holds after it freed them."""
    command = [sys.executable, "-c", PROGRAM, mode]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return int(ended.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_large_blocks_are_returned() -> None:
    """Without the setting most of them stay, if the C library is glibc."""
    if not allocator.return_large_blocks():
        pytest.skip("the C library has no mallopt")
    assert kept("set") < 4 * MIB
    assert kept("unset") > 16 * MIB
