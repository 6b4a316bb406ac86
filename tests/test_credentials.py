"""Secrets that systemd hands over as files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.config.credentials import MAX_BYTES, with_credentials
from app.config.settings import SettingsError
from tests.support.processes import end
from tests.systemd.activation import listening, started
from tests.systemd.test_listening import answered, sent


def credentials(folder: Path, **files: bytes) -> dict[str, str]:
    """Make a folder as systemd does; return the environment."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_a_file_is_a_variable(tmp_path: Path) -> None:
    """Its name is the variable's name, its content the value, without the newline that editors add."""
    environ = credentials(tmp_path, TAILRACE_ACCESS_TOKEN=b"correct-horse-battery\n", GROQ_API_KEY=b"gsk_1")
    found = with_credentials(environ)
    assert (found["TAILRACE_ACCESS_TOKEN"], found["GROQ_API_KEY"]) == ("correct-horse-battery", "gsk_1")


def test_the_environment_wins_unless_it_is_empty(tmp_path: Path) -> None:
    """Compose files and units pass unset variables as empty ones."""
    environ = credentials(tmp_path, TAILRACE_PORT=b"1", TAILRACE_HOST=b"127.0.0.2")
    found = with_credentials({**environ, "TAILRACE_PORT": "2", "TAILRACE_HOST": " "})
    assert (found["TAILRACE_PORT"], found["TAILRACE_HOST"]) == ("2", "127.0.0.2")


def test_without_the_folder_nothing_changes() -> None:
    """A server that systemd did not start."""
    assert with_credentials({"TAILRACE_PORT": "1"}) == {"TAILRACE_PORT": "1"}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Folders, and files whose name no variable can have."""
    environ = credentials(tmp_path, **{"tls.key": b"secret", "-x": b"secret"})
    (tmp_path / "FOLDER").mkdir()
    assert with_credentials(environ) == environ


@pytest.mark.parametrize("content", [b"\xff\xfe-secret", b"s" * (MAX_BYTES + 1)])
def test_a_file_that_is_no_secret_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    """The message names the file, and what is wrong with it."""
    with pytest.raises(SettingsError, match="credential TAILRACE_ACCESS_TOKEN: ") as caught:
        with_credentials(credentials(tmp_path, TAILRACE_ACCESS_TOKEN=content))
    shown = str(caught.value).replace(str(tmp_path), "")
    assert "-secret" not in shown
    assert "sss" not in shown


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    """Starting without the secrets would open the server to everybody."""
    with pytest.raises(SettingsError, match="No such file"):
        with_credentials({"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")})


@pytest.mark.slow
def test_a_server_takes_its_token_from_a_file(tmp_path: Path) -> None:
    """With the token it may listen for other machines; without it that would be refused."""
    more = credentials(tmp_path / "credentials", TAILRACE_ACCESS_TOKEN=b"plum-9f3c71d2a8e4b605\n")
    with listening("0.0.0.0") as sock, started(tmp_path / "data", [sock], more=more) as server:
        try:
            assert answered(sent(sock)) == b"HTTP/1.1 200 OK"
        finally:
            end(server, 30.0)


@pytest.mark.slow
def test_a_server_does_not_start_without_its_secrets(tmp_path: Path) -> None:
    """Exit code 2 and one message."""
    more = {"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")}
    with started(tmp_path / "data", more=more, log=subprocess.PIPE) as server:
        said, _ = server.communicate(timeout=30.0)
    assert server.returncode == 2
    assert said.startswith(b"tailrace: cannot start: invalid settings:\nCREDENTIALS_DIRECTORY=")
