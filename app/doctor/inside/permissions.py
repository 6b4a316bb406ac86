"""Who can read the files of the server: chats and the secret that signs cookies are the owner's alone.

The secret is read, too: the server does not start with one that is easy to guess.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import Finding, ok, problem, warning
from app.secret import UnsafeSecret, read_secret

CHECK = "permissions"
SECRET = "secret.key"
SECRETS = (SECRET, "tailrace.db", "tailrace.db-wal", "tailrace.db-shm", "tailrace.lock")


def check(folder: Path) -> Iterator[Finding]:
    """Check the data folder and the files in it."""
    if os.name != "posix" or not folder.is_dir():
        return
    found = [*_folder(folder), *(finding for name in SECRETS for finding in _file(folder / name))]
    yield from found or [ok(CHECK, f"{folder} is readable by its owner only")]


def _folder(folder: Path) -> Iterator[Finding]:
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield problem(CHECK, f"other users can replace the files in {folder}", f"chmod 700 {folder}")
    elif mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warning(CHECK, f"other users can look into {folder}", f"chmod 700 {folder}")


def _file(path: Path) -> Iterator[Finding]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield problem(CHECK, f"{path}: {error.strerror}", "Run this as the server's user.")
        return
    if stat.S_ISLNK(status.st_mode):
        yield problem(CHECK, f"{path} is a symbolic link", "Stop the server, and put the file itself there.")
    elif status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and path.name != "tailrace.lock":
        yield problem(CHECK, f"other users can read {path}", f"chmod 600 {path}")
    elif (
        path.name == SECRET and status.st_uid == os.geteuid()
    ):  # else the server, as another user, may read it
        yield from _secret(path)
    owner = path.parent.stat().st_uid
    if status.st_uid != owner:
        yield warning(
            CHECK,
            f"{path} belongs to another user than its folder",
            f"chown --reference={path.parent} {path}",
        )


def _secret(path: Path) -> Iterator[Finding]:
    try:
        read_secret(path)
    except UnsafeSecret as error:
        yield problem(CHECK, str(error), "The server does not start until then.")
    except OSError as error:
        yield problem(CHECK, f"{path}: {error.strerror}", f"chmod 600 {path}")
