"""examples/compose.yaml: what deploy/compose.yaml says, in fewer lines."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import yaml

from app.config.settings import Settings, load
from tests.examples import readme
from tests.machine import need
from tests.support.processes import ROOT

PATH = ROOT / "examples/compose.yaml"
TEXT = PATH.read_text(encoding="utf-8")
TOKEN = "plum-9f3c71d2a8e4b605"
BOUND = 60  # s, for one step


def contents(name: str) -> dict[str, Any]:
    """Return a compose file's contents."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


SERVICES = contents("examples/compose.yaml")["services"]


def test_compose_accepts_it_with_a_token_only() -> None:
    """Compose itself reads it, and builds from files that are there."""
    env = {**os.environ, "TAILRACE_ACCESS_TOKEN": TOKEN}
    command = [need("docker-compose"), "--file", str(PATH), "config"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stderr
    build = yaml.safe_load(done.stdout)["services"]["tailrace"]["build"]
    assert ROOT.samefile(build["context"])
    assert (ROOT / build["dockerfile"]).is_file()
    del env["TAILRACE_ACCESS_TOKEN"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode != 0
    assert "set it to a random secret" in done.stderr


def test_its_settings_start_the_server() -> None:
    """With a token; it reaches Ollama by the service's name."""
    given = {
        name: re.sub(r"\$\{\w+:\?.*\}", TOKEN, value)
        for name, value in SERVICES["tailrace"]["environment"].items()
    }
    settings = load({**given, "TAILRACE_HOST": "0.0.0.0"})
    assert settings.access_token == TOKEN
    assert settings.ollama_url == "http://ollama:11434"
    assert SERVICES["tailrace"]["stop_grace_period"] == f"{settings.drain_timeout + 20:.0f}s"
    assert Settings().drain_timeout == settings.drain_timeout


def test_only_this_machine_connects() -> None:
    """Ollama is not published at all."""
    assert SERVICES["tailrace"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in SERVICES["ollama"]


def test_it_runs_the_releases_of_the_other_file() -> None:
    """The same image of Ollama, by its digest, the same build, the same volumes."""
    other = contents("deploy/compose.yaml")["services"]
    assert SERVICES["ollama"]["image"] == other["ollama"]["image"]
    assert "@sha256:" in SERVICES["ollama"]["image"]
    assert SERVICES["tailrace"]["build"] == other["tailrace"]["build"]
    for name in ("tailrace", "ollama"):
        assert SERVICES[name]["volumes"] == other[name]["volumes"]


def test_its_comment_is_the_readme() -> None:
    """The commands are the same in both places."""
    said = re.findall(r"^#   (.*)$", TEXT, re.MULTILINE)
    assert said == readme.section("compose.yaml").partition("```sh\n")[2].partition("```")[0].splitlines()
