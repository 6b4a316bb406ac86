"""What the server tells systemd: ready, alive, stopping."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.systemd.notifying import Notifier
from tests.support.processes import end
from tests.support.waiting import until
from tests.systemd.activation import started

BOUND = 30.0  # s


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(BOUND)
        yield sock


@pytest.mark.slow
def test_a_server_reports_from_its_start_to_its_end(manager: socket.socket, tmp_path: Path) -> None:
    """READY once it serves, signs of life from then on, STOPPING after the signal."""
    more = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with started(tmp_path / "data", more=more, PORT="0") as server:
        try:
            said = {manager.recv(64) for _ in range(4)}
            assert said == {b"READY=1", b"WATCHDOG=1"}
        finally:
            end(server, BOUND)
        while (last := manager.recv(64)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
    assert server.returncode == 0


def test_without_a_manager_nothing_is_told() -> None:
    """A server that is started by hand, and one whose manager speaks something else."""
    for address in ("", "vsock:2:1234"):
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}
        notifier = Notifier.take(environ)
        notifier.tell("READY=1")
        assert (notifier, environ) == (Notifier(), {})


def test_the_limit_of_another_process_does_not_count(manager: socket.socket) -> None:
    """WATCHDOG_PID says who is watched."""
    told = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Notifier.take(told).interval is None


async def test_a_manager_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    """The log says so; the server goes on."""
    with capture_logs() as log:
        async with Notifier(str(tmp_path / "nobody"), 0.001).alive():
            await until(lambda: log)
    assert log[0]["event"] == "systemd_not_told"


async def test_signs_of_life_end_with_the_block(manager: socket.socket) -> None:
    """A hung or ended loop sends none, so systemd notices."""
    notifier = Notifier(manager.getsockname(), 3600.0)
    async with notifier.alive():
        assert await asyncio.to_thread(manager.recv, 64) == b"WATCHDOG=1"
    assert [task for task in asyncio.all_tasks() if task.get_name() == "systemd-watchdog"] == []
