"""The distribution: a wheel installed into a fresh environment serves pages from any working directory."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from app.web.assets.static_files import StaticFiles
from tests.deploy.running import running
from tests.support import processes
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SOURCES = (
    "app",
    "templates",
    "static",
    "translations",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
BOUND = 120  # seconds, for one step


def run(*command: str | Path, cwd: Path) -> None:
    """Run a program, and show what it said if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, without the network."""
    tree = tmp_path_factory.mktemp("tree")
    for name in filter(lambda name: (ROOT / name).exists(), SOURCES):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tree / name, ignore=ignore) if source.is_dir() else shutil.copy(
            source, tree / name
        )
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "dist",
        ".",
    ]
    run(*build, cwd=tree)
    [built] = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment, which borrows its dependencies from the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(*pip, "install", "--no-deps", "--no-index", "--no-warn-script-location", wheel, cwd=folder)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    """Each module, template, static file and translation of the tree is in it, and nothing of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{package}{path.relative_to(ROOT)}"
        for folder, package in (
            ("app", ""),
            ("templates", "app/"),
            ("static", "app/"),
            ("translations", "app/"),
        )
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == expected


@contextmanager
def installed(environment: Path, folder: Path, **more: str) -> Iterator[str]:
    """Run the console script in a folder that is not the project's; yield the server's address."""
    port = free_port()
    own = {"PORT": str(port), "DATA_DIR": str(folder / "data"), "EMBEDDED": "0", "OLLAMA_URL": "off"}
    ours = processes.environment({**own, **more})
    env = {name: value for name, value in ours.items() if not name.startswith("PYTHON")}
    with running([str(environment / "bin/tailrace"), "serve"], port, cwd=folder, env=env):
        yield f"http://127.0.0.1:{port}"


def test_an_installed_server_serves_its_page_from_anywhere(environment: Path, tmp_path: Path) -> None:
    """The console script, started in another folder, finds its templates and its static files."""
    with installed(environment, tmp_path, SCRIPTED="1") as url:
        with urlopen(f"{url}/", timeout=BOUND) as page:
            html = page.read().decode()
        [script] = re.findall(r'<script[^>]* src="([^"]+)"', html)
        with urlopen(url + script, timeout=BOUND) as module:
            assert module.read() == StaticFiles(ROOT / "static").joined(Path(script).name).body


AGENT = """
from app.agent import Chat, Note

async def answer(chat: Chat):
    yield Note("Counting…")
    yield f"{len(chat.prompt)} letters"
"""


def test_an_installed_server_runs_an_agent_of_the_folder_it_is_started_in(
    environment: Path, tmp_path: Path
) -> None:
    """The module that an agent imports comes with the wheel."""
    (tmp_path / "my_agent.py").write_text(AGENT, encoding="utf-8")
    body = json.dumps({"prompt": "hello", "model": "agent/count"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    with installed(environment, tmp_path, AGENTS="count=my_agent:answer") as url:
        asked = Request(f"{url}/api/sessions/s1/streams", body, headers)
        with urlopen(asked, timeout=BOUND) as answer:
            text = answer.read().decode()
    assert '"text":"5 letters"' in text
    assert '"outcome":"complete"' in text


def test_the_lock_files_name_no_index() -> None:
    """Whoever installs chooses where from: a lock holds names, versions and hashes."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        for line in lock.read_text(encoding="utf-8").splitlines():
            assert re.fullmatch(
                r"[a-z0-9.-]+==[^ /]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
            ), line


def test_the_test_lock_contains_the_run_lock() -> None:
    """Tests run with the very releases that are served with."""
    run_lock, test_lock = (
        re.findall(r"^\S+==.*", (ROOT / "requirements" / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in ("run.txt", "test.txt")
    )
    assert set(run_lock) <= set(test_lock)


def test_every_dependency_is_locked() -> None:
    """What setup.cfg asks for is in the lock that `make run` installs."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["embedded"]
    locked = re.findall(
        r"^(\S+)==", (ROOT / "requirements/run.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"^([a-z0-9-]+)", wanted, re.MULTILINE)) <= set(locked)
