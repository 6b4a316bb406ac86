"""Disks that are full or cannot be written, for a running server."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from app.history.opening import FILE
from tests.functional.processes import Process
from tests.support.waiting import found

BUSY = 10.0  # s
SIZE = 4 * 1024 * 1024  # bytes of the small disk


class Disk:
    """A folder, and how to leave no room in it for a running server."""

    refusal = (507, "disk_full")  # of a prompt meanwhile

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, server: Process) -> None:
        """From now on nothing fits."""
        raise NotImplementedError

    def make_room(self, server: Process) -> None:
        """From now on it does again."""
        raise NotImplementedError


class SmallDisk(Disk):
    """A disk of its own, which other files fill."""

    def fill(self, server: Process) -> None:
        """See `Disk`. Down to the last byte."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (65_536, 1):
                try:
                    while filler.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def make_room(self, server: Process) -> None:
        """See `Disk`."""
        (self.folder / "filler").unlink()


class Quota(Disk):
    """A limit on the size of each file that the server writes. SQLite takes it for a failure of the disk."""

    refusal = (503, "history_unavailable")

    def fill(self, server: Process) -> None:
        """See `Disk`."""
        largest = max(path.stat().st_size for path in self.folder.glob(f"{FILE}*"))
        _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest, most))

    def make_room(self, server: Process) -> None:
        """See `Disk`."""
        _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Mount a small disk in a folder, where this user may; else skip the test."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk; the same is tried with a quota")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _remounted(option: str, folder: Path) -> bool | None:
    done = subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=False)
    return done.returncode == 0 or None


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a mounted disk."""
    for option in ("ro", "rw"):
        # The kernel may still be closing the files of a process that has just ended.
        found(partial(_remounted, option, folder), within=BUSY, what=f"{folder} is busy")
        if option == "ro":
            yield
