"""The command itself: what it prints, and the code it exits with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from tests.support.logs import restored_logging


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine that is fine: the scripted models alone, and a folder for the data."""
    tmp_path.chmod(0o700)
    settings = {"DATA_DIR": str(tmp_path), "EMBEDDED": "0", "SCRIPTED": "1", "OLLAMA_URL": "off", "PORT": "0"}
    for name, value in {**settings, "CONFIG": "off"}.items():
        monkeypatch.setenv(f"TAILRACE_{name}", value)
    with restored_logging():
        yield tmp_path


def test_a_machine_that_is_fine(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and a summary at the end."""
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("no problems, ")
    assert list(machine.iterdir()) == []


def test_a_problem_is_told_with_its_remedy(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; the remedy follows the finding."""
    monkeypatch.setenv("TAILRACE_SCRIPTED", "0")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problem  models: no model is available" in out
    assert "         mend: " in out


@pytest.mark.parametrize("agent", ["json:dumps", "this:s", "nope.nope:x"])
def test_agents_that_cannot_be_used_are_a_problem(
    agent: str, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words with which the server refuses to start; the other checks are made all the same."""
    monkeypatch.setenv("TAILRACE_AGENTS", agent)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"problem  models: TAILRACE_AGENTS: {agent}" in out
    assert "open files: " in out


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1", "needs one PostgreSQL"),
        ("REDIS_URL", "redis://h:0x/9", "TAILRACE_REDIS_URL: expected an address such as"),
        ("GUESSES_URL", "redis://h:0x/9", "TAILRACE_GUESSES_URL: expected an address such as"),
    ],
)
def test_settings_that_the_server_refuses_at_its_start_are_a_problem(
    name: str,
    value: str,
    told: str,
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In its words, without connecting to anything."""
    monkeypatch.setenv(f"TAILRACE_{name}", value)
    assert main(["doctor"]) == 1
    starts = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem  start: ")]
    assert any(told in line for line in starts)
    assert list(machine.iterdir()) == []


def test_a_data_folder_that_cannot_be_looked_into_is_a_problem(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; the other checks are made all the same."""
    folder = machine / ("a" * 300)
    monkeypatch.chdir(machine)
    monkeypatch.delenv("TAILRACE_CONFIG")
    monkeypatch.setenv("TAILRACE_DATA_DIR", str(folder))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"problem  disk: cannot look into {folder}: File name too long" in out
    assert "open files: " in out


def test_the_report_as_json(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, and nothing else."""
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {tuple(finding) for finding in report["findings"]} == {("check", "level", "text", "mend")}


def test_credentials_that_cannot_be_read_are_a_problem(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the server would refuse to start."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(machine / "missing"))
    assert main(["doctor"]) == 1
    assert "CREDENTIALS_DIRECTORY" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "ftp://chat.example.org"],
        ["--url", "https://user:password@chat.example.org"],
        ["--url", "http://" + "a" * 64],
        ["--url", "http://chat..example.org"],
        ["--seconds", "0"],
        ["--seconds", "601"],
        ["--seconds", "soon"],
    ],
)
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what was expected."""
    with pytest.raises(SystemExit) as left:
        main(["doctor", *arguments])
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_missing_certificate_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and its name."""
    assert main(["doctor", "--url", "https://localhost:1", "--ca", "/missing.pem"]) == 2
    assert "/missing.pem" in capsys.readouterr().err
