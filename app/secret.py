"""The secret that signs cookies. Its file is written atomically, so it is complete or missing."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

LENGTH = 32  # bytes
LONGEST = 4096  # bytes that are read
SHORTEST = 16  # bytes; a shorter secret would be easy to guess


class UnsafeSecret(Exception):
    """The file cannot be trusted to hold a secret. The message says why and what to do."""


def kept_secret(path: Path) -> bytes:
    """Return the secret in `path`. Create a new one if it is missing.

    A new file is readable only by its owner. Raises `OSError`, and `UnsafeSecret` for a file that others can read or
    have written, a symbolic link, and contents that are empty, too short or all zeros.
    """
    with suppress(FileNotFoundError):
        return read_secret(path)
    made = secrets.token_bytes(LENGTH)
    _write(path, made)
    return made


def read_secret(path: Path) -> bytes:
    """Return the secret in `path`. Raises as `kept_secret` does, and `FileNotFoundError` if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeSecret(
                f"{path} is a symbolic link. Put the file itself there, or remove the link."
            ) from error
        raise
    try:
        _check(path, os.fstat(descriptor))
        found = os.read(descriptor, LONGEST)
    finally:
        os.close(descriptor)
    if len(found) < SHORTEST or not found.strip(b"\0"):
        raise UnsafeSecret(
            f"{path} is empty or too short, so anybody could forge cookies. Remove it: the next start makes a new one, "
            "and everybody signs in again."
        )
    return found


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeSecret(f"{path} is not a file. Remove it.")
    if os.name != "posix":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise UnsafeSecret(f"{path} belongs to another user, who could forge cookies. Remove it.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UnsafeSecret(
            f"other users of this machine can read {path}, and so forge cookies. Remove it: the next start makes a new "
            f"one. If nobody can have read it yet: chmod 600 {path}"
        )


def _write(path: Path, data: bytes) -> None:
    """Replace a file atomically. Nothing is written through a symbolic link."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
