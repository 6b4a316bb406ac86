"""Servers under callgrind, which counts the instructions that they execute."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.benchmarks.cost.counted import MARK, MARKED
from tests.benchmarks.load.servers.target import Target
from tests.support.processes import ROOT

# A program runs several times slower than it usually does, and 40 times while it is counted.
START_SECONDS = 600.0
MARK_SECONDS = 120.0
_SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)


class Counted:
    """A server, and how many instructions it has executed."""

    def __init__(self, process: asyncio.subprocess.Process, target: Target, counts: Path) -> None:
        self.target = target
        self._process = process
        self._counts = counts  # callgrind adds `.1`, `.2`, … to this name
        self._parts = 0

    def __repr__(self) -> str:
        return f"<Counted {self.target.name} parts={self._parts}>"

    async def instructions(self) -> int:
        """Return the instructions since the last call, or since the start of the program. Raises `TimeoutError`."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.write(b"\n")
        async with asyncio.timeout(MARK_SECONDS):
            while (line := await self._process.stderr.readline()).endswith(MARKED) is False:
                assert line, "the server under callgrind ended"
        self._parts += 1
        part = self._counts.with_name(f"{self._counts.name}.{self._parts}")
        found = _SUMMARY.search(part.read_text(encoding="utf-8", errors="replace"))
        part.unlink()
        assert found is not None
        return int(found[1])


async def _count(pid: int, folder: str) -> None:
    """Have callgrind count from here on. The start of a program, uncounted, takes a fifth of the time."""
    switch = await asyncio.create_subprocess_exec(
        "vgdb",
        f"--pid={pid}",
        f"--vgdb-prefix={folder}/vgdb",
        "instrumentation",
        "on",
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(MARK_SECONDS):
        assert await switch.wait() == 0, "callgrind does not count"


@asynccontextmanager
async def counted(name: str, module: list[str], environ: Mapping[str, str]) -> AsyncIterator[Counted]:
    """Run a module that prints its address, under callgrind. It is killed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="tailrace-cost-") as folder:
        counts = Path(folder) / "counts"
        process = await asyncio.create_subprocess_exec(
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={counts}",
            f"--log-file={folder}/log",
            f"--dump-before={MARK}",
            "--instr-atstart=no",
            f"--vgdb-prefix={folder}/vgdb",
            sys.executable,
            "-m",
            "tests.benchmarks.cost.counted",
            *module,
            cwd=ROOT,
            # Sets and dictionaries of texts have the same order in each run.
            env={**environ, "PYTHONHASHSEED": "0"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_SECONDS):
                words = (await process.stdout.readline()).decode().split()
            assert words, "the server under callgrind did not start"
            await _count(process.pid, folder)
            yield Counted(process, Target(name, words[-1], process.pid), counts)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
