"""The line numbers of the keys of a TOML document. `tomllib` reports a line only for a syntax error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]  # the path of a value in the document; indexes of array tables start at 0


class Lines:
    """The line numbers of a document, which must be valid TOML. Lines are counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        counts: dict[Path, int] = {}
        table: Path = ()
        for line, statement in _statements(text):
            path = _path(tomllib.loads(statement))
            if statement.lstrip().startswith("["):
                is_array = statement.lstrip().startswith("[[")
                table = _counted(path, counts, is_array=is_array)
                path = ()
            for length in range(1, len(table + path) + 1):
                self._lines.setdefault((table + path)[:length], line)

    def __repr__(self) -> str:
        return f"<Lines of {len(self._lines)} keys>"

    def of(self, path: Path) -> int:
        """Return the line of a key, or of the innermost enclosing table, or 1."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each table header, and each key with its value, with its first line. A value may span several lines."""
    lines = text.splitlines()
    begun = 0
    while begun < len(lines):
        if not lines[begun].strip() or lines[begun].lstrip().startswith("#"):
            begun += 1
            continue
        end = begun + 1
        while not _is_whole("\n".join(lines[begun:end])) and end < len(lines):
            end += 1
        yield begun + 1, "\n".join(lines[begun:end])
        begun = end


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _path(value: Any) -> Path:
    """Return the path of the innermost table or value of a document with one statement."""
    path: Path = ()
    while isinstance(value, (Mapping, list)) and len(value) == 1:
        if isinstance(value, list):
            if not isinstance(value[0], Mapping):
                break
            value = value[0]
            continue
        [(key, value)] = value.items()
        path += (key,)
    return path


def _counted(path: Path, counts: dict[Path, int], *, is_array: bool) -> Path:
    """Insert the indexes of array tables into a header's path: the index of the last table, or of a new one."""
    found: Path = ()
    for place, key in enumerate(path):
        found += (key,)
        if is_array and place == len(path) - 1:
            counts[found] = counts.get(found, -1) + 1
        if found in counts:
            found += (counts[found],)
    return found
