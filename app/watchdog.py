"""A process that kills the server if it does not end after a signal, whatever the server's threads do.

A Python signal handler, a timer and a thread all need the interpreter, and a single C call that does not return (such
as a backtracking match of `re`) blocks it. `faulthandler` does not need it: its handler, in C, writes the stack of the
thread to a pipe and then calls the previous handler. The watchdog process reads the other end of the pipe. It is forked
before the server is loaded, so it needs little memory, and it sleeps until a signal arrives.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

BOUND = 2.0  # s from the end of the drain timeout, or from the second signal, to the end of the server
SIGNALS = (signal.SIGINT, signal.SIGTERM)
HEADER = b"Stack (most recent call first)"  # the first line that `faulthandler` writes for each signal
MOST_STACK = 64 * 1024  # bytes

Tell = Callable[[str], None]  # called with the stack of the server's thread after the server was killed


class Watchdog:
    """The server's end of the pipe. Create it with `start`, before there are other threads."""

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe

    def __repr__(self) -> str:
        return f"<Watchdog pipe={self._pipe}>"

    @classmethod
    def start(cls, patience: float, tell: Tell) -> Watchdog:
        """Start the process. It allows the server `patience` + `BOUND` seconds to end after a signal. No-op on Windows.

        The process ends with the server. If it had to kill the server, it calls `tell`, in the watchdog process.
        """
        if not hasattr(os, "fork"):
            return cls(None)
        server = os.getpid()
        reading, writing = os.pipe()
        if os.fork():
            os.close(reading)
            os.set_blocking(writing, False)  # the handler must never wait for the reader
            return cls(writing)
        try:
            os.close(writing)
            _watch(_Server(server, reading), patience, tell)
        finally:
            os._exit(0)

    def listen(self) -> None:
        """Watch for `SIGNALS` from now on. Call it after the server has set its own handlers, which are called next."""
        if self._pipe is None:
            return
        for number in SIGNALS:
            faulthandler.register(number, file=self._pipe, all_threads=False, chain=True)
        if os.getpid() == 1:
            _die_of(KILL_INIT)


# Process 1 of a container cannot be killed from inside: the kernel delivers only signals for which it has a handler.
KILL_INIT = signal.SIGUSR2


def _die_of(number: int) -> None:
    """Install libc's `_exit` as a signal handler, which needs no interpreter. The exit code is the signal number."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    libc.signal(number, ctypes.cast(libc._exit, ctypes.c_void_p))


class _Server(NamedTuple):
    """The watched process, and the pipe that its signals are written to."""

    pid: int
    pipe: int

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, KILL_INIT if self.pid == 1 else signal.SIGKILL)


def _watch(server: _Server, patience: float, tell: Tell) -> None:
    os.setsid()  # Ctrl-C in a terminal must reach only the server
    for number in (*SIGNALS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager may signal every process of a service
    if stack := _wait(server, patience):
        server.kill()
        tell(stack.decode(errors="replace"))


def _wait(server: _Server, patience: float) -> bytes | None:
    """Wait for the end of the server. Return `None` if it ended, or the stacks at the signals if it is overdue."""
    ends = [server.pipe, *_life(server.pid)]
    deadline: float | None = None
    stack = b""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = select.select(ends, [], [], left)[0]
        if not ready:
            return stack
        piece = os.read(server.pipe, MOST_STACK) if server.pipe in ready else b""
        if ready != [server.pipe] or not piece:
            return None
        before = stack.count(HEADER)
        stack = (stack + piece)[:MOST_STACK]
        now = time.monotonic()
        if deadline is None:
            deadline = now + patience + BOUND
        if stack.count(HEADER) > max(before, 1):
            deadline = min(deadline, now + BOUND)


def _life(pid: int) -> list[int]:
    """Return a file descriptor that becomes readable when a process ends; empty if unsupported.

    Without it, the end of the pipe has to be enough.
    """
    if not hasattr(os, "pidfd_open"):
        return []
    try:
        return [os.pidfd_open(pid)]
    except OSError:  # an old kernel, or a sandbox that forbids it
        return []
