"""The disk of the data folder: is it writable, is there space, and does it keep its promises?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import Finding, ok, problem, warning

CHECK = "disk"
MIB = 2**20
LITTLE, ALMOST_NONE = 1024 * MIB, 64 * MIB  # bytes
FEW_FILES = 1000
# Locks of files and shared memory, which SQLite needs, are unreliable there (sqlite.org/wal.html).
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "davfs"}


def check(folder: Path) -> Iterator[Finding]:
    """Check the folder, or the nearest one above it that exists."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        yield problem(CHECK, f"{there} is no folder", "Set TAILRACE_DATA_DIR to a folder.")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield problem(
            CHECK,
            f"{there} is not writable by this user",
            "Run this as the server's user, or change its owner.",
        )
    if hasattr(os, "statvfs"):
        yield _space(there)
        yield from _files(there)
    kind = _kind(there.resolve())
    if kind in REMOTE:
        yield warning(
            CHECK,
            f"{there} is on a network file system ({kind})",
            "Put the data folder on a local disk, or use PostgreSQL: SQLite's locks are unreliable there.",
        )


def _space(folder: Path) -> Finding:
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    text = f"{free / MIB:,.0f} MiB free for {folder}"
    mend = "Free some space. If the disk is full, prompts are refused with 503."
    if free < ALMOST_NONE:
        return problem(CHECK, text, mend)
    return warning(CHECK, text, mend) if free < LITTLE else ok(CHECK, text)


def _files(folder: Path) -> Iterator[Finding]:
    found = os.statvfs(folder)
    if found.f_files and found.f_favail < FEW_FILES:  # some file systems have no limit and say 0
        yield problem(CHECK, f"{found.f_favail} more files fit on the disk of {folder}", "Delete some files.")


def _kind(folder: Path) -> str:
    """Return the type of the file system, "" where the system does not say (proc(5), mountinfo)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    best, kind = Path("/"), ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(before.split()[4].replace("\\040", " "))
        if folder.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, after.split()[0]
    return kind
