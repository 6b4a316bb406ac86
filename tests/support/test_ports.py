"""Ports are nobody else's."""

from __future__ import annotations

import socket

import pytest

from tests.support import ports
from tests.support.ports import EACH, FIRST, LAST, free_port


def test_no_port_comes_twice() -> None:
    """Nor one that connections are given."""
    found = [free_port() for _ in range(50)]
    assert len(set(found)) == 50
    assert all(FIRST <= port < LAST for port in found)


def test_workers_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """So has a process that is none."""
    blocks = []
    for worker in ("gw0", "gw1", "gw7", ""):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        blocks.append({(free_port() - FIRST) // EACH for _ in range(3)})
    assert blocks[:3] == [{0}, {1}, {7}]
    assert blocks[3].isdisjoint({0, 1, 7})


def test_one_that_is_in_use_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without any there is an error."""
    monkeypatch.setattr(ports, "EACH", 2)
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", free_port()))
        taken = first.getsockname()[1]
        assert {free_port() for _ in range(3)}.isdisjoint({taken})
        second.bind(("127.0.0.1", free_port()))
        with pytest.raises(RuntimeError, match="in use"):
            free_port()
