"""The clock: cookies, tokens and certificates expire by it."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path

from app.doctor.findings import Finding, note, ok, problem, warning

CHECK = "clock"
UNSYNCHRONISED = 0x40  # STA_UNSYNC, adjtimex(2)
TIMEX_BYTES = 1024  # more than `struct timex` has on any machine
STATUS_OFFSET = 4 * ctypes.sizeof(ctypes.c_long) + ctypes.sizeof(
    ctypes.c_long
)  # modes, offset, freq, maxerror, esterror
MEND = "Turn on time synchronisation: `timedatectl set-ntp true`, or install chrony."


def check(now: float | None = None) -> Finding:
    """Check that the clock is plausible and, on Linux, synchronised. `now` is in seconds since the epoch."""
    now = time.time() if now is None else now
    installed = Path(__file__).stat().st_mtime
    if now < installed - 86_400:
        return problem(CHECK, "it is earlier than the day on which this release was installed", MEND)
    synchronised = _synchronised()
    if synchronised is None:
        return note(CHECK, "whether it is synchronised cannot be told on this system")
    return ok(CHECK, "synchronised") if synchronised else warning(CHECK, "it is not synchronised", MEND)


def _synchronised() -> bool | None:
    if not sys.platform.startswith("linux"):
        return None
    answer = ctypes.create_string_buffer(TIMEX_BYTES)
    state = ctypes.CDLL(None).adjtimex(answer)
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(answer, STATUS_OFFSET).value
    return not status & UNSYNCHRONISED
