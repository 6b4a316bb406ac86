"""Locates templates, static files and translations: inside an installed package, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent


def folder(name: str) -> Path:
    """Return the path of `templates`, `static` or `translations`. Raises `FileNotFoundError` if it is missing."""
    for candidate in (PACKAGE / name, PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} is missing from this installation")
