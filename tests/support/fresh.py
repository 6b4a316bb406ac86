"""An empty history as a first start leaves it, made once in a process.

Every test that runs a server begins with one. To lay its tables takes ten times as long as the rest of a start does,
most of it in waiting for the disk; that a server lays them itself is for `tests/history` to tell.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import structlog

from app.history.opening import FILE, opened

_made: list[bytes] = []


async def lay_history(folder: Path) -> None:
    """Put an empty history into a folder that has none."""
    if not _made:
        with tempfile.TemporaryDirectory() as name:
            async with opened(None, Path(name), logger=structlog.get_logger()):
                pass
            _made.append((Path(name) / FILE).read_bytes())
    _put(_made[0], folder)


def _put(data: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(data)
