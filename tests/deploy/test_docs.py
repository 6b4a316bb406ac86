"""docs/deploy.md is held against the files that it explains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOC = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
NGINX, CADDY, UNIT = (
    (ROOT / "deploy" / name).read_text(encoding="utf-8")
    for name in ("nginx.conf", "Caddyfile", "tailrace.service")
)
COMMANDS = re.findall(r"^```sh\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)


def test_the_files_that_are_named_exist() -> None:
    """Below /opt/tailrace is a checkout."""
    named = re.findall(r"(?:/opt/tailrace/|\b)(deploy/[\w.-]+\w)", "\n".join(COMMANDS))
    assert len(named) >= 5
    for name in named:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda text: text.split("\n")[0][:30])
def test_the_commands_are_a_shell_s(commands: str) -> None:
    """A shell can read each block."""
    done = subprocess.run(
        ["sh", "-n"], input=commands, capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_of_the_installation_is_a_shell_s() -> None:
    """As it is installed to /usr/local/sbin."""
    subprocess.run(["sh", "-n", ROOT / "deploy/tailrace.sh"], check=True, timeout=10)
    assert (ROOT / "deploy/tailrace.sh").stat().st_mode & 0o111


def test_every_name_is_replaced_by_the_commands() -> None:
    """`sed` replaces the one name that the files use, wherever it stands."""
    for text in (NGINX, CADDY):
        assert not re.search(r"\b(?!chat\.)[\w-]+\.example\.org", text)
    assert DOC.count(r"sed 's/chat\.example\.org/") == 2


@pytest.mark.parametrize(
    ("told", "text", "setting"),
    [
        ("13 MiB", NGINX, "client_max_body_size 13m;"),
        ("13 MiB", CADDY, "max_size 13MiB"),
        ("imports 65 MiB", NGINX, "client_max_body_size 65m;"),
        ("imports 65 MiB", CADDY, "max_size 65MiB"),
        ("50 requests/s with 600 at once", NGINX, "rate=50r/s"),
        ("50 requests/s with 600 at once", NGINX, "burst=600 nodelay"),
        ("200 open requests", NGINX, "limit_conn tailrace_connections 200;"),
        ("4 imports", NGINX, "limit_conn tailrace_imports 4;"),
        ("15 s between two pieces", NGINX, "client_body_timeout 15s;"),
        ("2 GiB, 256, 65,536", UNIT, "MemoryMax=2G"),
        ("2 GiB, 256, 65,536", UNIT, "TasksMax=256"),
        ("2 GiB, 256, 65,536", UNIT, "LimitNOFILE=65536"),
        ("restarted after 30 s", UNIT, "WatchdogSec=30s"),
        ("10 s | 10 s", NGINX, "client_header_timeout 10s;"),
        ("10 s | 10 s", CADDY, "read_header 10s"),
        ("75 s | 75 s", NGINX, "keepalive_timeout 75s;"),
        ("75 s | 75 s", CADDY, "idle 75s"),
    ],
)
def test_each_bound_is_told_as_it_is(told: str, text: str, setting: str) -> None:
    """The table and the files agree."""
    assert told in DOC
    assert setting in text
