"""Folders and files on the machine are the owner's alone, whatever the umask, and however wide they were."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.private import narrow, private_file, private_folder
from tests.functional.processes import serving

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask for the test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_what_is_made(tmp_path: Path, umask: int) -> None:
    """A folder with its parents, and a file."""
    folder = tmp_path / "a" / "b"
    assert private_folder(folder)
    with private_file(folder / "file") as file:
        file.write(b"mine")
    assert [mode(folder.parent), mode(folder), mode(folder / "file")] == ["0o700", "0o700", "0o600"]


def test_what_was_wider(tmp_path: Path) -> None:
    """A file is narrowed and keeps what is in it; a folder is only told of: it may be shared on purpose."""
    path = tmp_path / "file"
    path.write_bytes(b"kept")
    path.chmod(0o644)
    with private_file(path) as file:
        file.seek(0)
        assert file.read() == b"kept"
    assert mode(path) == "0o600"
    assert not narrow(path)
    tmp_path.chmod(0o755)
    assert not private_folder(tmp_path)
    assert mode(tmp_path) == "0o755"


def test_a_link_is_refused(tmp_path: Path) -> None:
    """Nothing is opened through it."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        private_file(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_the_server(tmp_path: Path, umask: int) -> None:
    """Its folder and everything in it; what an older version left wider is narrowed, and an open folder is told of."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    for name in ("tailrace.db", "tailrace.lock"):
        (folder / name).touch()
        (folder / name).chmod(0o644)
    with serving(folder) as process:
        pass
    modes = {path.name: mode(path) for path in folder.iterdir() if path.name != "output"}
    assert set(modes.values()) == {"0o600"}, modes
    assert {"tailrace.db", "tailrace.lock", "secret.key"} <= modes.keys()
    assert "data_folder_open" in process.log
    assert "chmod 700" in process.log
