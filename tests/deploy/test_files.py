"""The shipped deployment files are well-formed and fit the product."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import TABLE, Settings, load

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DEPLOY.iterdir()) if path.is_file()}


@pytest.fixture
def compose() -> dict[str, Any]:
    """Return the compose file's contents."""
    contents: dict[str, Any] = yaml.safe_load(TEXTS["compose.yaml"])
    return contents


@pytest.mark.parametrize("name", TEXTS)
def test_only_real_settings_are_named(name: str) -> None:
    """Whatever a file calls a setting is one; a misspelt one would be ignored."""
    known = {row.env for row in TABLE} | {"TAILRACE_NAME"}  # the placeholder in the unit's comment
    assert set(re.findall(r"TAILRACE_[A-Z_]+", TEXTS[name])) <= known


def test_compose_refuses_to_start_without_a_token(compose: dict[str, Any]) -> None:
    """The token comes from the environment, and compose itself stops where it is missing."""
    assert compose["services"]["tailrace"]["environment"]["TAILRACE_ACCESS_TOKEN"].startswith(
        "${TAILRACE_ACCESS_TOKEN:?"
    )


def test_compose_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    """Neither service is reachable from other machines as shipped; Ollama is not published at all."""
    assert [port.split(":")[0] for port in compose["services"]["tailrace"]["ports"]] == ["127.0.0.1"]
    assert "ports" not in compose["services"]["ollama"]


def test_the_settings_of_the_compose_file_are_accepted(compose: dict[str, Any]) -> None:
    """With a token the container starts with these values; it reaches Ollama by the service's name."""
    given = compose["services"]["tailrace"]["environment"]
    filled = {name: re.sub(r"\$\{\w+:[?-].*?\}", "", value) for name, value in given.items()}
    settings = load({**filled, "TAILRACE_ACCESS_TOKEN": "correct-horse", "TAILRACE_HOST": "0.0.0.0"})
    assert settings.ollama_url == "http://ollama:11434"
    assert "ollama" in compose["services"]


def test_supervisors_wait_longer_than_the_drain() -> None:
    """A supervisor that kills earlier would interrupt answers that were promised their time."""
    drain = Settings().drain_timeout
    for name, pattern in (
        ("compose.yaml", r"stop_grace_period: (\d+)s"),
        ("tailrace.service", r"TimeoutStopSec=(\d+)s"),
    ):
        found = re.search(pattern, TEXTS[name])
        assert found, name
        assert int(found[1]) >= drain + 10, name


def test_nginx_outwaits_the_heartbeat() -> None:
    """Between two heartbeats the proxy must not give the connection up."""
    found = re.search(r"proxy_read_timeout (\d+)s;", TEXTS["nginx.conf"])
    assert found
    assert int(found[1]) >= 3 * Settings().heartbeat


def test_the_container_copies_what_is_there() -> None:
    """Each source of a COPY exists, and the lock is installed with its hashes alone."""
    copies = re.findall(r"^COPY (.+)$", TEXTS["Containerfile"], re.MULTILINE)
    for sources in (shlex.split(copy)[:-1] for copy in copies):
        assert all((ROOT / source).exists() for source in sources), sources
    assert "--no-deps --require-hashes" in TEXTS["Containerfile"]


def test_the_container_does_not_run_as_root() -> None:
    """The last USER before the command is not root."""
    assert re.findall(r"^USER (\w+)$", TEXTS["Containerfile"], re.MULTILINE) == ["tailrace"]


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """The verifier of systemd finds nothing to complain about."""
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("systemd-analyze is not installed, so the unit is not checked by systemd itself")
    unit = tmp_path / "tailrace.service"
    unit.write_text(
        TEXTS["tailrace.service"].replace("/opt/tailrace/.venv/bin/python", sys.executable), encoding="utf-8"
    )
    done = subprocess.run(
        [verifier, "verify", "--man=no", unit], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_healthcheck_tells_a_dead_server() -> None:
    """Nothing listens on this port: exit code 1, with the reason and without a traceback."""
    done = subprocess.run(
        [sys.executable, DEPLOY / "healthcheck.py"],
        env={"TAILRACE_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
