"""Starting on a database that cannot be used: one message, exit code 2, and the file left alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from app.history.errors import DatabaseUnusable
from app.history.opening import FILE, opened
from app.history.postgres import PostgresDatabase
from app.history.sqlite import SqliteDatabase
from tests.deploy.running import tailrace
from tests.history.samples import exchange
from tests.support.recorder import Recorder
from tests.test_main import refused


async def made(folder: Path) -> Path:
    """Make a history with something in it; return its file."""
    async with opened(None, folder, logger=Recorder()) as history:
        for number in range(20):
            await history.admit(exchange(f"s{number}", prompt="something " * 200))
    return folder / FILE


def spoil_middle(file: Path) -> None:
    """Overwrite pages in the middle."""
    content = bytearray(file.read_bytes())
    content[4096 * 6 : 4096 * 12] = b"\xff" * 4096 * 6
    file.write_bytes(content)


def spoil_all(file: Path) -> None:
    """Something else altogether."""
    file.write_bytes(b"These are not the bytes of a database. " * 1000)


def cut_off(file: Path) -> None:
    """Half of it is missing."""
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("spoil", [spoil_middle, spoil_all, cut_off])
async def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, spoil: object) -> None:
    """The message names the file, and not one byte of it changes."""
    file = await made(tmp_path)
    spoil(file)  # type: ignore[operator]
    before = file.read_bytes()
    message = refused(tmp_path, DATABASE_URL="")
    assert str(file) in message
    assert file.read_bytes() == before


async def test_a_file_that_another_program_locks_is_refused(tmp_path: Path) -> None:
    """After a moment of waiting."""
    file = await made(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert "locked" in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_file_that_cannot_be_written_is_refused() -> None:
    """One of somebody else's, say."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = await made(folder)
        for path, mode in ((folder, 0o755), (file, 0o644), (file.with_suffix(".lock"), 0o666)):
            path.chmod(mode)
        before = file.read_bytes()
        os.seteuid(65534)
        try:
            with pytest.raises(DatabaseUnusable, match="Permission denied"):
                async with opened(None, folder, logger=Recorder()):
                    pass
        finally:
            os.seteuid(0)
        assert file.read_bytes() == before


async def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    """The second is told that there is a first one; when that has gone, it may start."""
    with tailrace(tmp_path):
        assert "another server is using the folder" in refused(tmp_path)
    async with SqliteDatabase.opened(tmp_path / FILE):
        pass


def test_a_postgresql_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    """The message says so, and shows no password."""
    message = refused(tmp_path, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/none")
    assert "PostgreSQL" in message
    assert "hidden" not in message


async def test_an_address_that_is_none_is_refused() -> None:
    """What libpq would not understand either."""
    with pytest.raises(DatabaseUnusable):
        async with PostgresDatabase.opened("postgresql://[nonsense", logger=Recorder()):
            pass


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What people said is not for others on the same machine."""
    file = await made(tmp_path)
    assert file.stat().st_mode & 0o077 == 0


async def test_a_copy_of_file_and_journal_is_a_backup(tmp_path: Path) -> None:
    """As `sqlite3 tailrace.db .backup` makes it, too: it opens in another folder."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    file = await made(tmp_path / "one")
    shutil.copy(file, tmp_path / "two")
    async with opened(None, tmp_path / "two", logger=Recorder()) as history:
        assert len((await history.sessions("somebody")).sessions) == 20
