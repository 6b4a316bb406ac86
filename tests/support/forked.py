"""Servers that are forked from a process that has loaded them, with the methods of `subprocess.Popen`."""

from __future__ import annotations

import atexit
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Self

import msgspec

from tests.support.forking import NUMBER, Start
from tests.support.processes import ROOT, environment

STARTED = 60.0  # seconds, for the process that forks to load the server, on a busy machine


class Forked:
    """A running `python -m app ARGUMENTS`. Made by `start`."""

    def __init__(self, args: Sequence[str], pid: int, status: socket.socket) -> None:
        self.args = list(args)
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, `None` while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises `subprocess.TimeoutExpired`."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now, and its status is on the way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                data = self._status.recv(NUMBER.size)
            except (BlockingIOError, TimeoutError):
                return None
            # Without a code, the process that forks was killed, and its children with it.
            self.returncode = NUMBER.unpack(data)[0] if data else -signal.SIGKILL
            self._status.close()
        return self.returncode


class _Forking:
    """The process that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(number)],
                cwd=ROOT,
                env=environment({}),
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
            )
        atexit.register(self.close)

    def start(self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], output: int) -> Forked:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            os.umask(umask := os.umask(0o077))  # there is no other way to ask for it
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            start = msgspec.json.encode(Start(list(arguments), str(cwd), dict(environ), umask, limits))
            socket.send_fds(self._control, [start], [output, theirs.fileno()])
        ours.settimeout(STARTED)
        [pid] = NUMBER.unpack(ours.recv(NUMBER.size))
        return Forked(arguments, pid, ours)

    def close(self) -> None:
        self._control.close()
        self._process.wait(STARTED)


@cache
def _forking() -> _Forking:
    return _Forking()


_starting = threading.Lock()  # servers are also started by threads


def start(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> Forked:
    """Run `python -m app ARGUMENTS` with its output and its errors in a file. Standard input is empty."""
    with _starting:
        forking = _forking()
    return forking.start(arguments, cwd, env, output.fileno())
