"""The server as systemd starts it: with listening sockets, a socket to report to, and credentials."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.processes import ROOT, environment

# Puts the sockets where sd_listen_fds(3) says, and becomes the server with its own process id.
START = """
import os, sys
given = [int(word) for word in sys.argv[1:]]
free = [os.dup2(descriptor, 100 + number) for number, descriptor in enumerate(given)]
for number, descriptor in enumerate(free):
    os.dup2(descriptor, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.executable, [sys.executable, "-m", "app", "serve"])
"""


def started(
    folder: Path,
    sockets: Sequence[socket.socket] = (),
    *,
    more: Mapping[str, str] | None = None,
    log: IO[bytes] | int = subprocess.DEVNULL,
    **settings: str,
) -> subprocess.Popen[bytes]:
    """Start the server with the scripted models alone. `more` are variables without the prefix of settings."""
    ours = {"SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off", "DATA_DIR": str(folder), **settings}
    descriptors = [sock.fileno() for sock in sockets]
    return subprocess.Popen(
        [sys.executable, "-c", START, *map(str, descriptors)],
        cwd=ROOT,
        env={**environment(ours), **(more or {})},
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def listening(address: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens on a free port."""
    sock = socket.socket()
    sock.bind((address, 0))
    sock.listen(64)
    return sock
