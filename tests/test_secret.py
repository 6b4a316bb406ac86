"""The secret that signs cookies survives crashes and restarts, and nobody else can read or guess it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app.secret import LENGTH, SHORTEST, UnsafeSecret, kept_secret


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
def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path, left: bytes) -> None:
    """Anybody could sign with it. The file stays, and the message says what to do."""
    path = tmp_path / "secret.key"
    path.touch(0o600)
    path.write_bytes(left)
    with pytest.raises(UnsafeSecret, match="Remove it"):
        kept_secret(path)
    assert path.read_bytes() == left


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_may_have_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Or written. Once its mode is right it is used."""
    path = tmp_path / "secret.key"
    made = kept_secret(path)
    path.chmod(mode)
    with pytest.raises(UnsafeSecret, match="chmod 600"):
        kept_secret(path)
    path.chmod(0o600)
    assert kept_secret(path) == made


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """With a sentence."""
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(UnsafeSecret, match="not a file"):
        kept_secret(tmp_path / "secret.key")


def test_a_crash_while_it_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It appears whole or not at all."""
    path = tmp_path / "secret.key"

    def crash(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="no space"):
        kept_secret(path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Neither to read nor to write, wherever it points to."""
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "secret.key"
    path.symlink_to(elsewhere)
    for there in (False, True):
        if there:
            kept_secret(elsewhere)
        with pytest.raises(UnsafeSecret, match="symbolic link"):
            kept_secret(path)
        assert elsewhere.exists() is there
        assert path.is_symlink()
