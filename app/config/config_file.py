"""The configuration file, `tailrace.toml`: finds it, parses it, and maps its keys to lines."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app.config.toml_lines import Lines
from app.config.toml_lines import Path as Key

NAME = "tailrace.toml"
VARIABLE = "TAILRACE_CONFIG"
MAX_BYTES = 1024 * 1024
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_HINTS = {
    "Invalid value": 'Text needs quotes, as in url = "https://example.org".',
    "Cannot declare": "Each table may stand there once.",
    "Cannot overwrite": "Each key may stand there once.",
    "Expected '=' after a key": "A setting is written as name = value.",
}


class ConfigFile(NamedTuple):
    """The result of reading a file. If it failed, `problem` is the message, and there are no values."""

    path: Path
    values: Mapping[str, Any] = {}
    lines: Lines | None = None
    problem: str | None = None
    world_readable: bool = False

    def where(self, key: Key) -> str:
        """Return the file name and the line of a key, for a message."""
        line = self.lines.of(key) if self.lines is not None else 1
        return f"{self.path.name}, line {line}"


def find(environ: Mapping[str, str], data_dir: Path) -> Path | None:
    """Return the path in `TAILRACE_CONFIG`, else of the file in the working directory or the data folder.

    `None` if there is no file, or if the variable is `off`. A path in the variable need not exist.
    """
    named = environ.get(VARIABLE, "").strip()
    if named == "off":
        return None
    if named:
        return Path(named).expanduser()
    return next((path for path in (Path(NAME), data_dir / NAME) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    """Return whether there is such a file. In a folder that cannot be looked into there is none to read."""
    try:
        return path.is_file()
    except OSError:
        return False


def read(path: Path) -> ConfigFile:
    """Read and parse a file. Errors are in the result's `problem`; nothing is raised."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or error
        return ConfigFile(path, problem=f"{VARIABLE}={str(path)!r}: cannot read the file: {reason}")
    if len(data) > MAX_BYTES:
        return ConfigFile(path, problem=f"{path.name}: the limit is {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return ConfigFile(
            path, problem=f"{path.name}, line {line}: this is not UTF-8. Save the file as UTF-8."
        )
    return _parsed(path, text, world_readable=bool(mode & stat.S_IROTH) and os.name == "posix")


def _parsed(path: Path, text: str, *, world_readable: bool) -> ConfigFile:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return ConfigFile(path, problem=_sentence(path, text, str(error)))
    except RecursionError:
        return ConfigFile(path, problem=f"{path.name}: its values are nested too deeply")
    return ConfigFile(path, values, Lines(text), world_readable=world_readable)


def _sentence(path: Path, text: str, message: str) -> str:
    place = _PLACE.search(message)
    line = (place and place[1]) or max(1, len(text.splitlines()))
    what = _PLACE.sub("", message)
    hint = next((f". {hint}" for begin, hint in _HINTS.items() if what.startswith(begin)), "")
    return f"{path.name}, line {line}: {what}{hint}"
