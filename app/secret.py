"""The secret that signs cookies. Its file is written atomically, so it is complete or missing."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

LENGTH = 32  # bytes
SHORTEST = 16  # bytes; a shorter file is the remains of a crash, and would be easy to guess


def kept_secret(path: Path) -> bytes:
    """Return the secret in `path`. Create a new one if it is missing, too short or all zeros.

    A new file is readable only by its owner. Raises `OSError`.
    """
    with suppress(FileNotFoundError):
        found = path.read_bytes()
        if len(found) >= SHORTEST and found.strip(b"\0"):
            return found
    made = secrets.token_bytes(LENGTH)
    _write(path, made)
    return made


def _write(path: Path, data: bytes) -> None:
    """Replace a file atomically. A symbolic link is replaced too, so nothing is written to its target."""
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
