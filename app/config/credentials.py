"""Secrets that systemd hands over as files (systemd.exec(5), `LoadCredential=`), instead of in the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.config.settings import SettingsError

VARIABLE = "CREDENTIALS_DIRECTORY"
MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def with_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with each file of `$CREDENTIALS_DIRECTORY` as a variable with the file's name.

    A variable that is set and not empty wins. Whitespace around the content is removed. Raises `SettingsError` for a
    file that cannot be read.
    """
    folder = environ.get(VARIABLE, "")
    if not folder:
        return dict(environ)
    given = {name: value for name, value in environ.items() if value.strip()}
    return {**environ, **_files(Path(folder)), **given}


def _files(folder: Path) -> dict[str, str]:
    try:
        paths = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
    except OSError as error:
        raise SettingsError(f"{VARIABLE}={str(folder)!r}: {error.strerror or error}") from error
    return {path.name: _text(path) for path in paths}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"credential {path.name}: cannot read {path}: {reason}") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(f"credential {path.name}: the limit is {MAX_BYTES:,} bytes")
    return text
