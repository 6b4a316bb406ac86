"""`tailrace token add`, `list` and `revoke`: from a command line, with and without a server beside it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.history.opening import FILE
from app.tokens import parsed
from tests.support.processes import ROOT
from tests.support.server import serve

pytestmark = pytest.mark.slow


def tailrace(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the data folder."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    given = {"TAILRACE_DATA_DIR": str(folder), "TAILRACE_AUTH": "tokens", "TAILRACE_CONFIG": "off", **environ}
    return subprocess.run(
        [sys.executable, "-m", "app", "token", *arguments],
        env={**known, **given},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_is_printed_alone_and_once(tmp_path: Path) -> None:
    """In a new folder, which only its owner may enter; the list shows no secret."""
    folder = tmp_path / "data"
    added = tailrace(folder, "add", "alice", "--admin", "--days", "30")
    assert (added.returncode, added.stderr) == (0, "")
    token = added.stdout.removesuffix("\n")
    presented = parsed(token)
    assert presented is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    listed = tailrace(folder, "list")
    assert presented.secret not in listed.stdout
    heads, row = listed.stdout.splitlines()
    assert heads.split()[:3] == ["name", "admin", "made"]
    assert row.split()[:2] == ["alice", "yes"]
    assert row.endswith("never")
    again = tailrace(folder, "add", "alice")
    assert again.returncode == 0
    assert "no longer works" in again.stderr
    assert again.stdout != added.stdout
    assert tailrace(folder, "revoke", "alice").returncode == 0
    gone = tailrace(folder, "revoke", "alice")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "alice" in gone.stderr


async def test_it_works_beside_a_server(tmp_path: Path) -> None:
    """The server keeps its folder, and serves on."""
    async with serve(tmp_path) as live:
        for arguments in (("add", "alice"), ("list",), ("revoke", "alice")):
            done = tailrace(tmp_path, *arguments)
            assert done.returncode == 0, done.stderr
        assert (await live.client.ask("s1", "hello", model="scripted/short"))[-1].data[
            "outcome"
        ] == "complete"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (("add", "a/b"), {}, "can't be a name"),
        (("add", "a b"), {}, "can't be a name"),
        (("add", "x" * 129), {}, "can't be a name"),
        (("add", "alice", "--days", "0"), {}, "whole number"),
        (("add", "alice", "--days", "soon"), {}, "whole number"),
        (("add", "alice"), {"TAILRACE_DATABASE_URL": "memory:"}, "keeps nothing"),
        (("list",), {"TAILRACE_PORT": "x"}, "TAILRACE_PORT"),
        (("list",), {"TAILRACE_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "PostgreSQL"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    """On standard error, with 2; nothing is printed that a script could take for a token."""
    done = tailrace(tmp_path, *arguments, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [os.fsdecode(b"a\xff"), "a/b", "", "nobody"])
def test_a_name_without_a_token_cannot_be_revoked(tmp_path: Path, name: str) -> None:
    """Also one that no token can have: 1, and a sentence."""
    done = tailrace(tmp_path, "revoke", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no token" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mode_without_tokens_is_mentioned(tmp_path: Path) -> None:
    """The token is made, and the output is the same."""
    done = tailrace(tmp_path, "add", "alice", TAILRACE_AUTH="")
    assert parsed(done.stdout.strip()) is not None
    assert "TAILRACE_AUTH=tokens" in done.stderr


async def test_an_older_database_in_use_is_left_alone(tmp_path: Path) -> None:
    """The command does not migrate a file under a server."""
    async with serve(tmp_path):
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0003'")
        done = tailrace(tmp_path, "add", "alice")
    assert (done.returncode, done.stdout) == (2, "")
    assert "another server is using the folder" in done.stderr
