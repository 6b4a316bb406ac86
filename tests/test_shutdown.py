"""The watchdog of a shutdown: a process that hangs at its end is ended all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

BOUND = 30  # seconds

HANGS = """
import time
from app.shutdown import ShutdownWatchdog
with ShutdownWatchdog() as watchdog:
    watchdog.arm(600)
    watchdog.arm(0.1)
    time.sleep(600)
"""
ENDS = """
import sys, time
from app.shutdown import ShutdownWatchdog
with ShutdownWatchdog() as watchdog:
    watchdog.arm(0.1)
time.sleep(0.3)
sys.exit(3)
"""


def run(program: str) -> tuple[int, str]:
    """Run a program; return its exit code and what it said."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_hangs_is_ended() -> None:
    """With the exit code of an orderly end, and a line that says what happened."""
    code, output = run(HANGS)
    assert code == 0
    assert "shutdown_cut_short" in output


@pytest.mark.slow
def test_what_ends_by_itself_is_left_alone() -> None:
    """No timer outlives its block."""
    assert run(ENDS) == (3, "")
