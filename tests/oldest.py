"""Runs the heart's tests on the oldest supported Python of this machine: `make test-oldest`.

Releases of one minor version differ where a promise may rest on it: `asyncio.timeout` before and after CPython 3.11.4,
for example. Debian 12 has 3.11.2 as `/usr/bin/python3`. Where no Python is older than the one that runs this, nothing
is left to try, and that is said.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "test.txt"
FOLDER = ROOT / ".venv-oldest"
STAMP = FOLDER / ".installed"
OLDEST = (3, 11, 0)
# What depends on how tasks are cancelled and waited for. The rest of the suite cannot tell two releases apart.
HEART = [
    "tests/test_waits.py",
    *(f"tests/{room}" for room in ("tasks", "chat", "log", "streams", "schedules", "contract")),
]
PARALLEL = ["-n", "auto", "--dist", "worksteal"]  # as `make test`
ASK = "import sys; print(*sys.version_info[:3]); print(sys.version_info.releaselevel)"


class Python(NamedTuple):
    """An interpreter on this machine."""

    version: tuple[int, ...]
    path: str


def candidates() -> Iterator[str]:
    """Yield where interpreters are: the system's own, those in PATH, and those of pyenv."""
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        yield from filter(None, (f"/usr/bin/{name}", f"/usr/local/bin/{name}", shutil.which(name)))
    yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python")))


def asked(path: str) -> Python | None:
    """Return what an interpreter says of itself; `None` of one that does not run, or is no final release."""
    try:
        told = subprocess.run(
            [path, "-c", ASK], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version, level = told.splitlines()
    return Python(tuple(map(int, version.split())), path) if level == "final" else None


def older_than(current: tuple[int, ...], found: Sequence[Python]) -> Python | None:
    """Return the oldest that is supported and older than `current`."""
    return min((each for each in found if OLDEST <= each.version < current), default=None)


def environment(python: Python) -> Path:
    """Return the interpreter of an environment with what the tests need, made or renewed where necessary."""
    stamp = f"{python.version} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"
    inside = FOLDER / "bin" / "python"
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == stamp:
        return inside
    make_environment(python)
    install = [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ]
    subprocess.run([inside, *install, "-r", LOCK], check=True)
    STAMP.write_text(stamp, encoding="utf-8")
    return inside


def make_environment(python: Python) -> None:
    """Make an empty environment; where Debian's own Python lacks the means, install them if this user may."""
    command = [python.path, "-m", "venv", "--clear", str(FOLDER)]
    if subprocess.run(command, check=False).returncode == 0:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing for the tests: python3-venv", flush=True)
        quiet = {"stdin": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        for apt in (["update"], ["install", "--yes", "--no-install-recommends", "python3-venv"]):
            subprocess.run(["apt-get", *apt], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(command, check=True)
        return
    sys.exit(f"{python.path} cannot make environments (Debian: apt-get install python3-venv)")


def main(arguments: Sequence[str]) -> int:
    """Run the heart's tests, or those given; return pytest's exit code, 0 where there is no older Python."""
    current = sys.version_info[:3]
    python = older_than(current, [each for path in candidates() if (each := asked(path)) is not None])
    if python is None:
        print(f"No Python here is older than CPython {platform.python_version()}, which the other tests use.")
        return 0
    version = ".".join(map(str, python.version))
    print(f"The heart on CPython {version} ({python.path}):", flush=True)
    command = [str(environment(python)), "-m", "pytest", "-p", "no:cacheprovider", *PARALLEL]
    command += arguments or HEART
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
