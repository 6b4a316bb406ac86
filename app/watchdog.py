"""A process beside the server that ends it when it was told to end and does not, whatever its threads do.

A signal handler in Python, a timer and a thread all need the interpreter, and one C call that does not return (a
backtracking match of `re`, say) keeps it from them. `faulthandler` does not need it: its handler, in C, writes the
stack of the thread into a pipe and then calls the handler that was there before. At the other end of the pipe a
process waits. It is forked before the server is loaded, so it costs little memory, and sleeps until a signal comes.
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
HEADER = b"Stack (most recent call first)"  # begins what `faulthandler` writes for each signal
MOST_STACK = 64 * 1024  # bytes

Tell = Callable[[str], None]  # called with the stack of the server's thread, once the server was ended


class Watchdog:
    """The server's end of the pipe. Make one with `start`, before there are other threads."""

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe

    def __repr__(self) -> str:
        return f"<Watchdog pipe={self._pipe}>"

    @classmethod
    def start(cls, patience: float, tell: Tell) -> Watchdog:
        """Start the process: it gives the server `patience` seconds to drain after a signal. On Windows, do nothing.

        It ends with the server. `tell` is called in it, after it had to end the server.
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
        """Hear of `SIGNALS` from now on. Call it once the server has set up its own handlers: they are called next."""
        if self._pipe is None:
            return
        for number in SIGNALS:
            faulthandler.register(number, file=self._pipe, all_threads=False, chain=True)
        if os.getpid() == 1:
            _die_of(KILL_INIT)


# As process 1 of a container a server cannot be killed from inside: the kernel gives it only signals that it handles.
KILL_INIT = signal.SIGUSR2


def _die_of(number: int) -> None:
    """Let libc's `_exit` be the handler of a signal, which needs no interpreter. The exit code is the number."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    libc.signal(number, ctypes.cast(libc._exit, ctypes.c_void_p))


class _Server(NamedTuple):
    """The process that is watched, and the pipe that its signals are written to."""

    pid: int
    pipe: int

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, KILL_INIT if self.pid == 1 else signal.SIGKILL)


def _watch(server: _Server, patience: float, tell: Tell) -> None:
    os.setsid()  # Ctrl-C in a terminal is for the server alone
    for number in (*SIGNALS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager may signal every process of a service
    if stack := _wait(server, patience):
        server.kill()
        tell(stack.decode(errors="replace"))


def _wait(server: _Server, patience: float) -> bytes | None:
    """Return the stack at the last signal once the server should have ended; `None` when it has ended."""
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
    """Return what becomes readable when a process ends. Where there is no such thing, the end of the pipe has to do."""
    if not hasattr(os, "pidfd_open"):
        return []
    try:
        return [os.pidfd_open(pid)]
    except OSError:  # an old kernel, or a sandbox that does not allow it
        return []
