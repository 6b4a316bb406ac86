"""The container image and the compose file: complete, pinned, bounded."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from app.config.settings import load
from tests.deploy.running import running
from tests.machine import need
from tests.support.ports import free_port
from tests.support.processes import environment

ROOT = Path(__file__).parent.parent.parent
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
BOUND = 60  # s, for one step
DIGEST = r"@sha256:[0-9a-f]{64}"


@pytest.fixture
def compose() -> dict[str, Any]:
    """Return the compose file's contents."""
    contents: dict[str, Any] = yaml.safe_load(COMPOSE)
    return contents


def copied(stage: str) -> set[str]:
    """Return the sources of all COPY lines of a part of the file."""
    copies = (shlex.split(line) for line in re.findall(r"^COPY (?!--from)(.+)$", stage, re.MULTILINE))
    return {source for *sources, _ in copies for source in sources}


def served() -> str:
    """Return the last stage, which becomes the image."""
    return CONTAINERFILE.rpartition("\nFROM ")[2]


def test_the_image_has_everything_that_the_package_has() -> None:
    """Every folder that setup.cfg packages is copied as a whole: code, pages, scripts, translations."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    folders = {line.partition("=")[2].strip() for line in setup["options"]["package_dir"].split("\n") if line}
    assert folders == {"app", "static", "templates", "translations"}
    assert folders <= copied(served())


def test_what_is_copied_is_there_and_in_the_context() -> None:
    """Each source exists, and .dockerignore does not hold it back."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for source in copied(CONTAINERFILE):
        assert (ROOT / source).exists(), source
        assert source in let_in or source.partition("/")[0] in let_in, source


@pytest.mark.slow
def test_what_is_copied_is_enough_to_serve(tmp_path: Path) -> None:
    """A server in a folder with nothing else shows its page, in German too."""
    for name in copied(served()):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copy(source, target)
    port = free_port()
    settings = {"PORT": str(port), "DATA_DIR": str(tmp_path / "data"), "EMBEDDED": "0", "OLLAMA_URL": "off"}
    env = {name: value for name, value in environment(settings).items() if not name.startswith("PYTHON")}
    with running([sys.executable, "-m", "app", "serve"], port, cwd=tmp_path, env=env):
        page = Request(f"http://127.0.0.1:{port}/", headers={"Accept-Language": "de"})
        with urlopen(page, timeout=BOUND) as answer:
            html = answer.read().decode()
    assert '<html lang="de"' in html
    assert "Nachricht" in html


def test_the_base_is_pinned() -> None:
    """By digest, and by a name that tells a person what it is; each stage begins with it."""
    assert re.search(rf"^ARG BASE=\S+:\d+\.\d+\.\d+-\S+{DIGEST}$", CONTAINERFILE, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert set(bases) == {"${BASE}"}


def test_packages_are_installed_by_their_hashes() -> None:
    """All but what the person who builds asks for."""
    for line in re.findall(r"^RUN python -m pip install .*", CONTAINERFILE, re.MULTILINE):
        assert "--no-deps --require-hashes" in line


def test_the_container_runs_as_a_numbered_user() -> None:
    """So that an orchestrator can see that it is not root; the data folder is that user's."""
    assert re.findall(r"^USER (.+)$", CONTAINERFILE, re.MULTILINE) == ["10001:10001"]
    assert "--owner=10001 --group=10001 --mode=0700 /var/lib/tailrace" in CONTAINERFILE


def test_the_bill_of_materials_lists_the_lock(tmp_path: Path) -> None:
    """Each package with its release and its hashes, by the command of the image and of `make sbom`."""
    [options] = re.findall(
        r"^RUN cyclonedx-py (requirements .*) --output-file \S+ run.txt$", CONTAINERFILE, re.MULTILINE
    )
    assert f"cyclonedx-py {options} " in (ROOT / "Makefile").read_text(encoding="utf-8")
    made = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", *options.split(), "--output-file", made]
    subprocess.run([*command, ROOT / "requirements/run.txt"], check=True, capture_output=True, timeout=BOUND)
    listed = json.loads(made.read_text(encoding="utf-8"))["components"]
    lock = (ROOT / "requirements/run.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", lock, re.MULTILINE))
    assert {(part["name"], part["version"]) for part in listed} == locked
    assert all(part["externalReferences"][0]["hashes"] for part in listed)


def test_the_lock_of_the_bill_of_materials_is_that_of_the_tests() -> None:
    """What the tests run is what the image is built with."""
    sbom, tests = (
        set(re.findall(r"^[a-z0-9.-]+==[^ ;]+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("sbom.txt", "test.txt")
    )
    assert sbom
    assert sbom <= tests


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
    settings = load({**filled, "TAILRACE_ACCESS_TOKEN": "plum-9f3c71d2a8e4b605", "TAILRACE_HOST": "0.0.0.0"})
    assert settings.ollama_url == "http://ollama:11434"
    assert "ollama" in compose["services"]


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    """Compose itself reads it, with every variable filled in. Older releases do not know `name`."""
    path = tmp_path / "compose.yaml"
    path.write_text(re.sub(r"^name: .*\n", "", COMPOSE, flags=re.MULTILINE), encoding="utf-8")
    env = {**os.environ, "TAILRACE_ACCESS_TOKEN": "plum-9f3c71d2a8e4b605"}
    command = [need("docker-compose"), "--file", str(path), "config", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stderr
    del env["TAILRACE_ACCESS_TOKEN"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode != 0
    assert "set it to a random secret" in done.stderr


def test_compose_pins_its_images(compose: dict[str, Any]) -> None:
    """What is not built here is named by its release and its digest."""
    for service in compose["services"].values():
        assert "build" in service or re.fullmatch(rf"\S+:\d+\.\d+\.\d+{DIGEST}", service["image"])


def test_compose_bounds_each_service(compose: dict[str, Any]) -> None:
    """Memory, processes and logs; no capabilities; no new privileges."""
    for service in compose["services"].values():
        assert {"mem_limit", "pids_limit", "logging", "restart"} <= set(service)
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_compose_checks_the_health_of_each_service(compose: dict[str, Any]) -> None:
    """Tailrace's check is in the image."""
    assert "HEALTHCHECK" in served()
    assert "healthcheck" in compose["services"]["ollama"]


def test_compose_trusts_the_proxy_on_the_host(compose: dict[str, Any]) -> None:
    """It comes in through the gateway of the published network, which has a fixed address for that."""
    tailrace = compose["services"]["tailrace"]
    [network] = compose["networks"]["front"]["ipam"]["config"]
    assert tailrace["environment"]["TAILRACE_TRUSTED_PROXIES"] == network["gateway"]
    assert tailrace["networks"] == ["front", "models"]
    assert compose["services"]["ollama"]["networks"] == ["models"]
