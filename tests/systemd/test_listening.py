"""Socket activation: the server serves on sockets that somebody else holds, and a restart refuses no connection."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from app.systemd.listening import UnusableSocket, take_sockets
from tests.support.processes import end
from tests.systemd.activation import listening, started

pytestmark = pytest.mark.slow

BOUND = 30.0  # s
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def sent(sock: socket.socket) -> socket.socket:
    """Connect to a listening socket and send a request, without waiting for an answer."""
    client = socket.create_connection(sock.getsockname()[:2], timeout=BOUND)
    client.sendall(REQUEST)
    return client


def answered(client: socket.socket) -> bytes:
    """Return the first line of the answer."""
    with client, client.makefile("rb") as answer:
        return answer.readline().strip()


def test_a_restart_refuses_no_connection(tmp_path: Path) -> None:
    """What arrives while no server runs waits, and the next server answers it."""
    with listening() as sock:
        for _ in range(2):
            waiting = sent(sock)  # before there is a server
            with started(tmp_path, [sock], PORT="1") as server:
                try:
                    assert answered(waiting) == b"HTTP/1.1 200 OK"
                    assert answered(sent(sock)) == b"HTTP/1.1 200 OK"
                finally:
                    end(server, BOUND)
            assert server.returncode == 0


def test_every_socket_is_served(tmp_path: Path) -> None:
    """A unit may have several ListenStream= lines."""
    with listening() as one, listening() as other, started(tmp_path, [one, other]) as server:
        try:
            assert answered(sent(other)) == answered(sent(one)) == b"HTTP/1.1 200 OK"
        finally:
            end(server, BOUND)


def test_a_socket_open_to_others_needs_a_token(tmp_path: Path) -> None:
    """As TAILRACE_HOST does: exit code 2, and a sentence that says what to do."""
    with listening("0.0.0.0") as sock, started(tmp_path, [sock], log=subprocess.PIPE) as server:
        said, _ = server.communicate(timeout=BOUND)
    assert server.returncode == 2
    assert b"expose the server to other machines" in said
    assert b"Traceback" not in said


def test_a_socket_of_another_kind_is_refused(tmp_path: Path) -> None:
    """One for datagrams cannot serve HTTP: exit code 2, and no traceback."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        started(tmp_path, [sock], log=subprocess.PIPE) as server,
    ):
        said, _ = server.communicate(timeout=BOUND)
    assert server.returncode == 2
    assert b"does not listen for TCP connections" in said
    assert b"Traceback" not in said


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    """Whoever set LISTEN_FDS by hand learns what is wrong."""
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "100000"}
    with pytest.raises(UnusableSocket):
        take_sockets(environ)


@pytest.mark.parametrize("pid", ["", "1"])
def test_sockets_of_another_process_are_left_alone(pid: str) -> None:
    """LISTEN_PID says whom the variables are for; children do not inherit them."""
    environ = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "OTHER": "y"}
    assert take_sockets(environ) == []
    assert environ == {"OTHER": "y"}
