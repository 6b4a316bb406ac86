"""A client that minds its own business: `python -m tests.support.bystander PID HOST PORT PATH [HEADER …]`.

It asks for PATH again and again on one connection, in a process of its own so that nothing else holds it up, and prints
a line for each answer: its status, the milliseconds that it took, and how many of those it or the server PID was ready
to run and had no processor, because other processes had them. A connection that fails is made anew; its line says 0 in
the place of the status. It ends when its standard input does.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from pathlib import Path

PAUSE = 0.01  # seconds between two requests
PATIENCE = 60.0


class Queued:
    """How long threads were ready to run and had no processor (Linux, `sched-stats.rst`, `/proc/PID/schedstat`)."""

    def __init__(self, pid: str) -> None:
        self._pid = pid
        self._last = self._read()

    def _read(self) -> dict[str, int]:
        found = {}
        for path in (Path("/proc/self/schedstat"), *Path(f"/proc/{self._pid}/task").glob("*/schedstat")):
            try:
                found[str(path)] = int(path.read_text(encoding="ascii").split()[1])
            except (
                FileNotFoundError,
                ProcessLookupError,
            ):  # the thread has ended, or the kernel does not count
                continue
        return found

    def lap(self) -> float:
        """Return the milliseconds since the last call: the bystander's own, the server's loop, and its worst thread.

        The worst thread counts because it may have held the interpreter's lock that the loop waited for.
        """
        last, self._last = self._last, self._read()
        waited = {path: now - last.get(path, now) for path, now in self._last.items()}
        own = waited.pop("/proc/self/schedstat", 0)
        loop = waited.pop(f"/proc/{self._pid}/task/{self._pid}/schedstat", 0)
        return (own + loop + max(waited.values(), default=0)) / 1e6


def main(pid: str, host: str, port: str, path: str, *headers: str) -> None:
    """Ask until the end of standard input."""
    ended = threading.Event()

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=end_with_stdin, daemon=True).start()
    named = {name: value for name, _, value in (header.partition(": ") for header in headers)}
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    queued = Queued(pid)
    while not ended.is_set():
        queued.lap()
        began = time.monotonic()
        try:
            connection.request("GET", path, headers=named)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        taken = (time.monotonic() - began) * 1000
        print(status, f"{taken:.3f} {queued.lap():.3f}", flush=True)
        ended.wait(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
