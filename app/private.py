"""Folders and files that are their owner's alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

FOLDER, FILE = 0o700, 0o600
OTHERS = 0o077  # the bits of the group and of everybody else


def private_folder(path: Path) -> bool:
    """Create a folder unless it exists; return whether it is its owner's alone.

    A new one is, and so are the parents that are created. One that exists is left as it is: it may be shared on
    purpose, or belong to others. Raises `OSError`.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(FOLDER, exist_ok=True)
    return os.name != "posix" or not stat.S_IMODE(path.stat().st_mode) & OTHERS


def private_file(path: Path) -> BinaryIO:
    """Open a file for reading and appending, creating it if missing. Others may not read it, even if they could before.

    Raises `OSError`, also if it is a symbolic link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), FILE)
    try:
        if _is_wide(os.fstat(descriptor)):
            os.fchmod(descriptor, FILE)
        return os.fdopen(descriptor, "a+b")
    except BaseException:
        os.close(descriptor)
        raise


def narrow(path: Path) -> bool:
    """Take the rights of others to a file of ours; return whether they had any. Raises `OSError`."""
    status = path.stat()
    if _is_wide(status):
        path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
        return True
    return False


def _is_wide(status: os.stat_result) -> bool:
    return os.name == "posix" and bool(status.st_mode & OTHERS) and status.st_uid == os.geteuid()
