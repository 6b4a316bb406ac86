"""The SQLite file of a history, as its operator sees it: from another program, or copied at one moment."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from app.history.opening import FILE


def rows(folder: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What another program finds in the file right now."""
    with closing(sqlite3.connect(folder / FILE, timeout=5)) as connection:
        return connection.execute(query, parameters).fetchall()


def crash_image(folder: Path, copy: Path) -> Path:
    """Copy the file with its journal as a server that dies at this moment would leave them; return the folder."""
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(folder / f"{FILE}{suffix}", copy)
    return copy
