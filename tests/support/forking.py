"""A process that has loaded the server and forks it: `python -m tests.support.forking FD`.

Loading takes five times as long as starting, and the tests start hundreds of servers. What comes through the socket FD
is described by `Start`; two descriptors come with it: one for the output and the errors, and a socket for the process's
id and its exit code, each as four bytes. It ends with the socket, and its children with it.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import struct
import sys

import msgspec

import app.wiring.serving  # noqa: F401 - loaded for the children
from app.__main__ import main

LARGEST = 1024 * 1024  # bytes of a start
DESCRIPTORS = 2
NUMBER = struct.Struct("i")


class Start(msgspec.Struct):
    """What to run: `python -m app ARGUMENTS`, and what a child inherits from who starts it."""

    arguments: list[str]
    folder: str
    environ: dict[str, str]
    umask: int
    descriptors: tuple[int, int]  # RLIMIT_NOFILE


def fork_all(control: socket.socket) -> Start | None:
    """Fork a child for each start that comes. Return its start in a child, `None` in the parent once all is over."""
    woken, waking = socket.socketpair()
    for end in (woken, waking):
        end.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for who started us
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _reap(children)
        if control not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(control, LARGEST, DESCRIPTORS)
        if not data:
            for child in children:
                os.kill(child, signal.SIGKILL)
            return None
        output, status = descriptors
        if child := os.fork():
            children[child] = socket.socket(fileno=status)
            children[child].send(NUMBER.pack(child))
            os.close(output)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (control, woken, waking, *children.values()):
            each.close()
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        for descriptor in descriptors:
            os.close(descriptor)
        return msgspec.json.decode(data, type=Start)


def _reap(children: dict[int, socket.socket]) -> None:
    """Tell the exit codes of the children that have ended."""
    for child in list(children):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with children.pop(child) as told:
                told.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def run() -> int:
    """Fork until the socket closes; in a child, run the server as `python -m app` would. Return the exit code."""
    start = fork_all(socket.socket(fileno=int(sys.argv[1])))
    if start is None:
        return 0
    os.chdir(start.folder)
    os.umask(start.umask)
    resource.setrlimit(resource.RLIMIT_NOFILE, start.descriptors)
    os.environ.clear()
    os.environ.update(start.environ)
    sys.path[0] = start.folder
    sys.argv = ["tailrace", *start.arguments]
    return main(start.arguments)


if __name__ == "__main__":
    sys.exit(run())
