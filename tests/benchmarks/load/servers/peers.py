"""The Python packages of the peers, in an environment of their own: `python -m tests.benchmarks.load.servers.peers`.

The product needs none of them. Where they cannot be installed, their rows are empty, and the benchmark says why.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.benchmarks.load.servers.errors import MissingPeerError
from tests.support.processes import ROOT

LOCK = ROOT / "requirements" / "bench.txt"
FOLDER = ROOT / ".venv-bench"
PYTHON = FOLDER / "bin" / "python"
STAMP = FOLDER / ".installed"  # the interpreter, and the lock that was installed
INSTALL = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--require-hashes")


def is_installed() -> bool:
    """Tell whether the packages are there, in the releases of the lock."""
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == _stamp()


def _stamp() -> str:
    return f"{sys.version}\n{LOCK.read_text(encoding='utf-8')}"


def python() -> str:
    """Return the interpreter that has the packages. Raises `MissingPeerError`."""
    if not is_installed():
        raise MissingPeerError(
            f"the packages of requirements/{LOCK.name} are not installed; "
            "`python -m tests.benchmarks.load.servers.peers` says why"
        )
    return str(PYTHON)


def main() -> int:
    """Install them. What stays missing is for the benchmark to tell."""
    if is_installed():
        return 0
    print("Installing the peers of the benchmark (FastAPI, sse-starlette and httpx, once) …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        subprocess.run([str(PYTHON), *INSTALL, "-r", str(LOCK)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The peers could not be installed: {error}", flush=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        return 0
    STAMP.write_text(_stamp(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
