"""The secret that signs cookies survives crashes and restarts, and nobody else can read or guess it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app.secret import LENGTH, SHORTEST, kept_secret


def test_it_is_made_once(tmp_path: Path) -> None:
    """The next start finds it; only its owner may read it, and nothing else is left in the folder."""
    path = tmp_path / "secret.key"
    made = kept_secret(path)
    assert len(made) == LENGTH
    assert kept_secret(path) == made == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "left", [b"", b"x" * (SHORTEST - 1), b"\0" * LENGTH], ids=["empty", "short", "zeros"]
)
def test_what_a_crash_left_is_no_secret(tmp_path: Path, left: bytes) -> None:
    """Anybody could sign with that. It is made anew, and kept."""
    path = tmp_path / "secret.key"
    path.write_bytes(left)
    made = kept_secret(path)
    assert len(made) == LENGTH
    assert kept_secret(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_crash_while_it_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It appears whole or not at all."""
    path = tmp_path / "secret.key"

    def crash(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="no space"):
        kept_secret(path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_written_through_a_link(tmp_path: Path) -> None:
    """The link is replaced; what it pointed to stays as it was."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"short")
    path = tmp_path / "secret.key"
    path.symlink_to(elsewhere)
    made = kept_secret(path)
    assert elsewhere.read_bytes() == b"short"
    assert not path.is_symlink()
    assert path.read_bytes() == made
