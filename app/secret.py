"""The secret that signs cookies: kept in a file that is whole or not there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

LENGTH = 32  # bytes
SHORTEST = 16  # bytes; what is shorter is what a crash left, and would be easy to guess


def kept_secret(path: Path) -> bytes:
    """Return the secret in `path`. One that is missing, too short or all zeros is made anew.

    Only its owner can read the file. Raises `OSError`.
    """
    with suppress(FileNotFoundError):
        found = path.read_bytes()
        if len(found) >= SHORTEST and found.strip(b"\0"):
            return found
    made = secrets.token_bytes(LENGTH)
    _write(path, made)
    return made


def _write(path: Path, data: bytes) -> None:
    """Replace a file in one step, and a link by a file: nothing is written to where a link points."""
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
