"""SIGTERM ends a server whose interpreter is held by a call that does not return."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest

from app import watchdog
from tests.deploy.running import wait_for_port
from tests.functional.processes import Process, serving
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment
from tests.support.waiting import BOUND, found, gone, stays

# A server that holds its interpreter when asked for /healthz, and says so first: in the loop's thread, or in another
# one. A match of `re` that takes longer than the universe has is how it happens; a lock that is never free does the
# same and needs no core.
PROGRAM = """
import asyncio, ctypes, re, sys
from app.web import operations

libc = ctypes.PyDLL(None)  # its calls do not let go of the interpreter
mutex = ctypes.create_string_buffer(128)
libc.pthread_mutex_init(mutex, None)
libc.pthread_mutex_lock(mutex)

def hold(call, *arguments):
    sys.setswitchinterval(600)
    libc.write(1, b"held\\n", 5)
    call(*arguments)

async def match_in_the_loop(request):
    hold(re.match, "(a+)+$", "a" * 64 + "b")

async def lock_in_the_loop(request):
    hold(libc.pthread_mutex_lock, mutex)

async def lock_in_a_thread(request):
    await asyncio.to_thread(hold, libc.pthread_mutex_lock, mutex)

operations.healthz = {holder}
from app.__main__ import main
sys.exit(main(["serve"]))
"""


def may_unshare() -> bool:
    """Tell whether this user may make a process namespace."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0
    )


@asynccontextmanager
async def holding(
    folder: Path, holder: str, *, inside: Sequence[str] = (), **settings: str
) -> AsyncIterator[Process]:
    """Run such a server, as `held` does. Starting it and waiting for it is work for another thread."""
    with ExitStack() as stack:
        running = held(folder, holder, inside=inside, **settings)
        yield await asyncio.to_thread(stack.enter_context, running)


@contextmanager
def held(folder: Path, holder: str, *, inside: Sequence[str] = (), **settings: str) -> Iterator[Process]:
    """Run such a server, `inside` another program if one is given, and let it hold its interpreter."""
    port = free_port()
    ours = {"SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off", "PORT": str(port), **settings}
    output = folder / "output"
    with (
        output.open("wb") as log,
        subprocess.Popen(
            [*inside, sys.executable, "-c", PROGRAM.format(holder=holder)],
            cwd=ROOT,
            env=environment({**ours, "DATA_DIR": str(folder)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for_port(port, process)
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                server = Process(process, port, output)
                found(lambda: held_in(server.log), within=BOUND, what="the interpreter is not held")
                yield server
        finally:
            process.kill()


def held_in(log: str) -> bool | None:
    """Tell whether a server has said that it holds its interpreter, `None` for not yet."""
    return "held" in log.split() or None


def innermost(pid: int) -> int:
    """Return the id of the process that a process runs."""
    return psutil.Process(pid).children()[0].pid


def dogs(server: Process) -> list[psutil.Process]:
    """The processes beside the server."""
    return psutil.Process(server.pid).children(recursive=True)


@pytest.mark.parametrize("holder", ["match_in_the_loop", "lock_in_a_thread"])
async def test_sigterm_ends_it_within_the_bound(tmp_path: Path, holder: str) -> None:
    """Killed, two seconds after the drain timeout; the log has where it was. Nothing is left beside it."""
    async with holding(tmp_path, holder, DRAIN_TIMEOUT="0.5") as server:
        beside = dogs(server)
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ended) == -signal.SIGKILL
        for process in beside:
            await gone(process.pid)
        assert "error shutdown_killed" in server.log
        assert "Stack (most recent call first)" in server.log


@pytest.mark.parametrize("holder", ["lock_in_the_loop", "lock_in_a_thread"])
async def test_a_second_signal_ends_it_sooner(tmp_path: Path, holder: str) -> None:
    """It ends the wait for answers, as it does for a server that can hear it."""
    async with holding(tmp_path, holder, DRAIN_TIMEOUT="600") as server:
        server.signal(signal.SIGTERM)
        await asyncio.sleep(0.05)  # two signals of one kind at one moment are one
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ended) == -signal.SIGKILL


async def test_one_signal_waits_for_the_drain_timeout(tmp_path: Path) -> None:
    """Answers may be running in other threads: the bound is what was promised to them, and not less."""
    async with holding(tmp_path, "lock_in_the_loop", DRAIN_TIMEOUT="600") as server:
        server.signal(signal.SIGTERM)
        await stays(lambda: server.exit_code is None, during=watchdog.BOUND + 1)


@pytest.mark.skipif(not may_unshare(), reason="this user cannot make a process namespace (Linux, root)")
async def test_as_process_1_of_a_container_it_ends_as_well(tmp_path: Path) -> None:
    """The kernel keeps SIGKILL from it there, so it gets a signal that libc handles. All processes end with it."""
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    async with holding(tmp_path, "lock_in_a_thread", inside=inside, DRAIN_TIMEOUT="0.5") as server:
        psutil.Process(innermost(server.pid)).send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ended) == watchdog.KILL_INIT


async def test_what_stands_beside_it_ends_with_it(tmp_path: Path) -> None:
    """Also if the server is killed: one small process, gone with it. A signal to it alone changes nothing."""
    with serving(tmp_path) as server:
        (dog,) = dogs(server)
        dog.send_signal(signal.SIGTERM)
        dog.send_signal(signal.SIGINT)
        assert dog.is_running()
        server.signal(signal.SIGKILL)
        await gone(dog.pid)


async def test_without_it_the_server_runs_and_ends(tmp_path: Path) -> None:
    """If it is killed, a server that hears its signals ends as it always does."""
    with serving(tmp_path) as server:
        (dog,) = dogs(server)
        dog.kill()
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ended) == 0
        assert "shutdown_killed" not in server.log
