"""What an attack costs: the memory of the server's process, and the patience of somebody who only wants a page.

    async for attempt in suffering(process.pid, process.url):
        async with attempt:
            ...  # attack

A bystander asks for a page in a process of its own: for a while before the attack, then as long as the block lasts.
The peak of the memory is the kernel's (`VmHWM`), so it misses nothing between two looks. What the bystander waited
because other processes had the processors is left out. What an attack causes is there each time; what else happens on
the machine is not, so an attack after which others waited too long is made again, a few times.
"""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.processes import ROOT, end, environment

MIB = 1024 * 1024
REST = 1.0  # seconds that the bystander is watched before the attack
MOST_MEMORY = 64 * MIB  # that an attack may cost
MOST_DELAY = 0.1  # seconds, that the bystander's slowest answer in a hundred may take longer than at rest
ATTEMPTS = 3  # of which others have to be quick in one
PATIENCE = 20.0


class Suffered:
    """What the server and the bystander suffered in one attack. It is final once the attack is over."""

    def __init__(self) -> None:
        self.memory = 0  # bytes: the peak during the attack, above what the process held before
        self.rest: list[float] = []  # seconds that each answer took before the attack
        self.during: list[float] = []
        self.failed: list[int] = []  # statuses other than 200; 0 is a broken connection

    def __repr__(self) -> str:
        return (
            f"<Suffered memory=+{self.memory / MIB:.1f} MiB, p99 at rest {p99(self.rest) * 1000:.1f} ms, during "
            f"{p99(self.during) * 1000:.1f} ms, worst {max(self.during, default=0.0) * 1000:.1f} ms of "
            f"{len(self.during)}, failed {len(self.failed)}>"
        )

    @property
    def is_quick(self) -> bool:
        """Whether the slowest answer in a hundred was hardly slower than at rest."""
        return p99(self.during) - p99(self.rest) <= MOST_DELAY

    def check(self, memory: int) -> None:
        """Raise `AssertionError` if somebody got no answer, or the attack cost more bytes than this."""
        assert self.during, self
        assert not self.failed, self
        assert self.memory <= memory, self


def p99(values: Sequence[float]) -> float:
    """Return the value that one in a hundred exceeds; of fewer than a hundred the greatest."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1] if values else 0.0


async def suffering(
    pid: int, url: str, path: str = "/healthz", headers: Iterable[str] = (), *, memory: int = MOST_MEMORY
) -> AsyncIterator[AbstractAsyncContextManager[Suffered]]:
    """Yield attempts, each to be entered around the attack on the server `pid` at `url`; the first one may do.

    `headers` are the bystander's, as `Name: value`. Raises `AssertionError` if an attack cost more than `memory`, in
    bytes, if others got no answer, or if they waited longer than `MOST_DELAY` in every attempt.
    """
    found = []
    for _ in range(ATTEMPTS):
        found.append(Suffered())
        yield _watched(found[-1], pid, url, path, headers)
        found[-1].check(memory)
        if found[-1].is_quick:
            return
    raise AssertionError(found)


@asynccontextmanager
async def _watched(
    suffered: Suffered, pid: int, url: str, path: str, headers: Iterable[str]
) -> AsyncIterator[Suffered]:
    with _bystander(pid, url, path, headers) as seen:
        await asyncio.sleep(REST)
        suffered.rest = [taken for _, taken in seen()]
        before = resident(pid)
        forget_peak(pid)
        yield suffered
        suffered.memory = peak(pid) - before
        await asyncio.sleep(0.1)  # what the bystander waits for right now counts, too
        answers = await _answers_after(seen, len(suffered.rest))
    suffered.during = [taken for _, taken in answers]
    suffered.failed = [status for status, _ in answers if status != 200]


async def _answers_after(seen: Callable[[], list[tuple[int, float]]], count: int) -> list[tuple[int, float]]:
    """Return the answers after the first `count`, once there is one more than now."""
    known = len(seen())
    async with asyncio.timeout(PATIENCE * 5):
        while len(seen()) <= known:
            await asyncio.sleep(0.01)
    return seen()[count:]


@contextmanager
def _bystander(
    pid: int, url: str, path: str, headers: Iterable[str]
) -> Iterator[Callable[[], list[tuple[int, float]]]]:
    """Run the bystander; yield what returns the status and the seconds of each of its answers so far."""
    parts = urlsplit(url)
    where = [str(pid), str(parts.hostname), str(parts.port), path]
    command = [sys.executable, "-m", "tests.support.bystander", *where]
    with (
        subprocess.Popen(
            [*command, *headers], cwd=ROOT, env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        seen: list[tuple[int, float]] = []
        reading = threading.Thread(target=_read, args=(process, seen), name="bystander", daemon=True)
        reading.start()
        try:
            yield lambda: list(seen)
        finally:
            end(process, PATIENCE)
            reading.join(PATIENCE)


def _read(process: subprocess.Popen[bytes], seen: list[tuple[int, float]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith(b"\n"):  # it was ended while it wrote
            return
        status, taken, queued = line.split()
        seen.append((int(status), max(0.0, float(taken) - float(queued)) / 1000))


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def resident(pid: int) -> int:
    """Return how many bytes of memory a process holds now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """Return the most that it ever held, or has held since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak be what the process holds now (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def connect(url: str, source: str | None = None) -> socket.socket:
    """Return a connection to a server, blocking with a bound. `source` is the address that it comes from."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection(
        (parts.hostname, parts.port), PATIENCE, None if source is None else (source, 0)
    )


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request with these headers (`Name: value`) and no others but a Host."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> bytes:
    """Return everything that comes up to the end of a connection. Raises `TimeoutError`."""
    received = bytearray()
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionError:  # it was closed before it had read all that was sent
        pass
    return bytes(received)


def status(received: bytes) -> int:
    """Return the status of a response, 0 if there is none."""
    words = received.split(b" ", 2)
    return int(words[1]) if len(words) > 2 else 0
