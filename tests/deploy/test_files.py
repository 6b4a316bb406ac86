"""The shipped deployment files are well-formed and fit the product."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.config.settings import TABLE, Settings
from tests.machine import need

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DEPLOY.iterdir()) if path.is_file()}


@pytest.mark.parametrize("name", TEXTS)
def test_only_real_settings_are_named(name: str) -> None:
    """Whatever a file calls a setting is one; a misspelt one would be ignored."""
    known = {row.env for row in TABLE} | {"TAILRACE_NAME"}  # the placeholder in the unit's comment
    assert set(re.findall(r"TAILRACE_[A-Z_]+", TEXTS[name])) <= known


def test_supervisors_wait_longer_than_the_drain() -> None:
    """A supervisor that kills earlier would interrupt answers that were promised their time."""
    drain = Settings().drain_timeout
    for name, pattern in (
        ("compose.yaml", r"stop_grace_period: (\d+)s"),
        ("compose.cluster.yaml", r"stop_grace_period: (\d+)s"),
        ("kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)"),
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


UNITS = ("tailrace.service", "tailrace.socket")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a program that is there."""
    for name in UNITS:
        text = TEXTS[name].replace("/opt/tailrace/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [tmp_path / name for name in UNITS]


def test_the_units_are_valid(units: list[Path]) -> None:
    """The verifier of systemd finds nothing to complain about."""
    command: list[str | Path] = [need("systemd-analyze"), "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_shut_in(units: list[Path]) -> None:
    """Systemd itself rates what the service could do to the machine: 0 is nothing, 10 everything."""
    command: list[str | Path] = [
        need("systemd-analyze"),
        "security",
        "--offline=yes",
        "--no-pager",
        "--threshold=15",
        units[0],
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout


def test_the_service_is_bounded() -> None:
    """Memory, tasks and open files each have a limit."""
    unit = TEXTS["tailrace.service"]
    for setting in ("MemoryMax", "TasksMax", "LimitNOFILE", "WatchdogSec"):
        assert re.search(rf"^{setting}=\d", unit, re.MULTILINE), setting


def test_the_service_starts_with_its_socket() -> None:
    """The socket listens where the proxies connect, and no setting of the unit says otherwise."""
    [address] = re.findall(r"^ListenStream=(.+)$", TEXTS["tailrace.socket"], re.MULTILINE)
    assert f"server {address};" in TEXTS["nginx.conf"]
    assert f"reverse_proxy {address} " in TEXTS["Caddyfile"]


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
