"""`tailrace doctor` on the machine of the server: what is wrong is found, with its remedy, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import structlog

from app.backends.catalog import Catalog
from app.backends.ollama.backend import OllamaBackend
from app.backends.scripted.backend import ScriptedBackend
from app.chat.ports import Backend
from app.config.settings import Settings
from app.doctor.findings import Finding, Level
from app.doctor.inside import backends, clock, database, disk, open_files, permissions, port, settings
from tests.support.postgres import Postgres
from tests.support.server import serve


def levels(findings: Iterable[Finding]) -> list[Level]:
    """Return how bad each finding is."""
    return [finding.level for finding in findings]


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    """Return what should be mended; each says how."""
    found = [finding for finding in findings if finding.level in (Level.WARNING, Level.PROBLEM)]
    assert all(finding.mend for finding in found)
    return found


def test_valid_settings_are_fine() -> None:
    """An empty environment is a working configuration."""
    read = settings.read({"TAILRACE_CONFIG": "off"})
    assert levels(read.findings) == [Level.OK]
    assert read.chosen == Settings(config=None)


def test_each_invalid_setting_is_a_problem() -> None:
    """With the sentence that the server would refuse it with."""
    read = settings.read({"TAILRACE_CONFIG": "off", "TAILRACE_PORT": "x", "TAILRACE_HEARTBEAT": "soon"})
    assert levels(read.findings) == [Level.PROBLEM, Level.PROBLEM]
    assert read.chosen is None


def test_a_misspelt_setting_is_a_warning() -> None:
    """With the name that was meant."""
    [found] = wrong(settings.read({"TAILRACE_CONFIG": "off", "TAILRACE_PROT": "1"}).findings)
    assert "TAILRACE_PORT" in found.mend


def test_a_public_name_without_access_control_is_a_problem() -> None:
    """Behind a proxy every visitor comes from loopback, so the server alone would let everybody in."""
    environ = {"TAILRACE_CONFIG": "off", "TAILRACE_ALLOWED_HOSTS": "chat.example.org"}
    assert levels(wrong(settings.read(environ).findings)) == [Level.PROBLEM, Level.WARNING]
    environ |= {"TAILRACE_AUTH": "tokens", "TAILRACE_TRUSTED_PROXIES": "127.0.0.1"}
    assert wrong(settings.read(environ).findings) == []


def test_a_readable_secret_is_a_problem(tmp_path: Path) -> None:
    """And is not shown."""
    file = tmp_path / "tailrace.toml"
    file.write_text('openai_api_key = "sk-1234567890"', encoding="utf-8")
    file.chmod(0o644)
    [found] = wrong(settings.read({"TAILRACE_CONFIG": str(file)}).findings)
    assert found.level is Level.PROBLEM
    assert "sk-" not in found.text


@asynccontextmanager
async def catalog(*servers: Backend, default: str | None = None) -> AsyncIterator[Catalog]:
    """A catalogue by itself."""
    catalog = Catalog(servers, logger=structlog.get_logger(), default=default)
    try:
        yield catalog
    finally:
        await catalog.aclose()


async def asked(catalog: Catalog, default: str | None = None) -> list[Finding]:
    """Check the model servers."""
    return [finding async for finding in backends.check(catalog, default)]


async def test_model_servers_that_respond_are_fine() -> None:
    """With the number of their models."""
    async with catalog(ScriptedBackend()) as known:
        assert levels(await asked(known)) == [Level.OK]


async def test_no_model_at_all_is_a_problem(unused_tcp_port: int) -> None:
    """No prompt could be answered."""
    silent = OllamaBackend(f"http://127.0.0.1:{unused_tcp_port}", logger=structlog.get_logger())
    async with catalog(silent) as known:
        assert levels(await asked(known)) == [Level.NOTE, Level.PROBLEM]


async def test_a_silent_server_is_a_problem_if_the_default_model_is_there(unused_tcp_port: int) -> None:
    """Else it is only noted: Ollama is asked unasked."""
    silent = OllamaBackend(f"http://127.0.0.1:{unused_tcp_port}", logger=structlog.get_logger())
    async with catalog(silent, ScriptedBackend(), default="ollama/x") as known:
        assert Level.PROBLEM in levels(await asked(known, "ollama/x"))
    async with catalog(ScriptedBackend(), default="scripted/none") as known:
        assert Level.PROBLEM in levels(await asked(known, "scripted/none"))


def names(folder: Path) -> list[str]:
    """Return the files of a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_running_server_does_not_notice(tmp_path: Path) -> None:
    """Its database is read beside it; it goes on writing, and nothing of it has changed."""
    async with serve(tmp_path) as server:
        await server.client.post("s1", "hello")
        before = names(tmp_path)
        found = await database.check(Settings(data_dir=tmp_path))
        assert levels(found) == [Level.OK, Level.OK]
        assert names(tmp_path) == before
        await server.client.post("s2", "hello")


async def test_databases_that_do_not_fit(tmp_path: Path) -> None:
    """None yet, one of a newer release, one that is damaged, and none at all."""
    chosen = Settings(data_dir=tmp_path)
    assert levels(await database.check(chosen)) == [Level.NOTE]
    path = tmp_path / "tailrace.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('9999')"
        )
    assert levels(await database.check(chosen)) == [Level.PROBLEM, Level.OK]
    path.write_bytes(b"this is no database" * 1000)
    assert levels(wrong(await database.check(chosen))) == [Level.PROBLEM]
    assert levels(await database.check(Settings(database_url="memory:"))) == [Level.NOTE]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
async def test_a_pipe_in_place_of_the_database_is_not_waited_for(tmp_path: Path) -> None:
    """Nor is a folder a database."""
    path = tmp_path / "tailrace.db"
    os.mkfifo(path)
    [found] = await database.check(Settings(data_dir=tmp_path))
    assert (found.level, found.text) == (Level.PROBLEM, f"{path} is not a file")


async def test_a_server_whose_tokens_are_missing_lets_nobody_in(tmp_path: Path) -> None:
    """Unless it has the one of TAILRACE_ACCESS_TOKEN."""
    async with serve(tmp_path):
        [found] = wrong(await database.check(Settings(data_dir=tmp_path, auth="tokens")))
        assert "tailrace token add" in found.mend
        assert (
            wrong(await database.check(Settings(data_dir=tmp_path, access_token="plum-9f3c71d2a8e4b605")))
            == []
        )


@pytest.mark.slow
async def test_postgresql_is_read_beside_a_server(postgres: Postgres, tmp_path: Path) -> None:
    """An empty database will be migrated; one that a server uses fits."""
    url = await postgres.database()
    assert levels(await database.check(Settings(database_url=url))) == [Level.NOTE]
    async with serve(tmp_path, database_url=url):
        assert levels(await database.check(Settings(database_url=url))) == [Level.OK]


async def test_postgresql_that_is_away_is_a_problem_and_its_password_stays_secret(
    unused_tcp_port: int,
) -> None:
    """The reason is told."""
    url = f"postgresql://user:hunter2hunter2@127.0.0.1:{unused_tcp_port}/x"
    [found] = wrong(await database.check(Settings(database_url=url)))
    assert "hunter2" not in found.text + found.mend


def test_the_disk(tmp_path: Path) -> None:
    """A folder that is there, one that the server would make, and a file in its place."""
    assert wrong(disk.check(tmp_path)) == []
    assert wrong(disk.check(tmp_path / "a/b")) == []
    (tmp_path / "file").touch()
    assert levels(wrong(disk.check(tmp_path / "file"))) == [Level.PROBLEM]


def test_little_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than 1 GiB is a warning, less than 64 MiB a problem."""
    monkeypatch.setattr(disk, "LITTLE", 2**62)
    assert levels(wrong(disk.check(tmp_path))) == [Level.WARNING]
    monkeypatch.setattr(disk, "ALMOST_NONE", 2**62)
    assert levels(wrong(disk.check(tmp_path))) == [Level.PROBLEM]


def test_the_clock() -> None:
    """One that was never set is a problem; this one is not."""
    assert clock.check(time.time()).level is not Level.PROBLEM
    assert clock.check(0.0).level is Level.PROBLEM


def test_the_limit_on_open_files() -> None:
    """It has to do for as many answers as are allowed."""
    assert open_files.check(1).level is Level.OK
    assert open_files.check(10**9).level is Level.WARNING


def test_permissions(tmp_path: Path) -> None:
    """Folder and secrets are the owner's alone, and nobody put a link in their place."""
    tmp_path.chmod(0o700)
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"x" * 32)
    secret.chmod(0o600)
    assert wrong(permissions.check(tmp_path)) == []
    secret.chmod(0o640)
    assert levels(wrong(permissions.check(tmp_path))) == [Level.PROBLEM]
    secret.unlink()
    secret.symlink_to(os.devnull)
    assert Level.PROBLEM in levels(wrong(permissions.check(tmp_path)))
    secret.unlink()
    tmp_path.chmod(0o750)
    assert levels(wrong(permissions.check(tmp_path))) == [Level.WARNING]
    tmp_path.chmod(0o777)
    assert levels(wrong(permissions.check(tmp_path))) == [Level.PROBLEM]
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("contents", [b"", b"short", bytes(32)])
def test_a_secret_that_is_easy_to_guess_is_a_problem(contents: bytes, tmp_path: Path) -> None:
    """The server does not start with it. It is left as it is."""
    tmp_path.chmod(0o700)
    secret = tmp_path / "secret.key"
    secret.write_bytes(contents)
    secret.chmod(0o600)
    [found] = wrong(permissions.check(tmp_path))
    assert found.level is Level.PROBLEM
    assert "empty or too short" in found.text
    assert secret.read_bytes() == contents


async def test_the_port(tmp_path: Path, unused_tcp_port: int) -> None:
    """Free, taken by a server, or by somebody else."""
    assert (await port.check(Settings(port=unused_tcp_port))).level is Level.NOTE
    async with serve(tmp_path) as server:
        assert (await port.check(Settings(port=int(server.url.rpartition(":")[2])))).level is Level.OK
