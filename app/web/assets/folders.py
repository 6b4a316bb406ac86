"""Where templates, static files and translations are: in the package once installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent


def folder(name: str) -> Path:
    """Return `templates`, `static` or `translations`. Raises `FileNotFoundError` if the installation is broken."""
    for candidate in (PACKAGE / name, PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} is missing from this installation")
