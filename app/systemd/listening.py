"""Listening sockets that systemd opened for the server (sd_listen_fds(3)).

systemd keeps them open while the server restarts: connections that arrive meanwhile wait in the kernel's queue, and
none is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST = 3  # SD_LISTEN_FDS_START
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class UnusableSocket(Exception):
    """A socket that was passed cannot serve HTTP. The message says why, and what to do about it."""


def take_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets passed to this process; empty if there are none.

    Removes the variables from `environ`, and child processes do not inherit the sockets. Raises `UnusableSocket`.
    """
    pid, count, _ = (environ.pop(name, "") for name in VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_taken(descriptor) for descriptor in range(FIRST, FIRST + int(count))]


def _taken(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise UnusableSocket(
            f"LISTEN_FDS promises the file descriptor {descriptor}, but it is no socket: {error.strerror}."
        ) from error
    if not _serves_tcp(taken):
        raise UnusableSocket(
            f"the socket passed as file descriptor {descriptor} does not listen for TCP connections. "
            "A socket unit for Tailrace has ListenStream= with an address and a port, and no Accept=yes."
        )
    return taken


def _serves_tcp(taken: socket.socket) -> bool:
    is_tcp = taken.family in (socket.AF_INET, socket.AF_INET6) and taken.type == socket.SOCK_STREAM
    return is_tcp and taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
