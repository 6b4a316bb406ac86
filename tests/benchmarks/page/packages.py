"""The npm packages that judge the page, locked by hashes: `python -m tests.benchmarks.page.packages` installs them.

Where there is no npm, what needs them is left out and named, as with any program of `tests.machine`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LOCK = FOLDER / "package-lock.json"
MODULES = FOLDER / "node_modules"
STAMP = MODULES / ".installed"  # the lock that was installed


def is_installed() -> bool:
    """Tell whether the packages are there, in the releases of the lock."""
    return STAMP.exists() and STAMP.read_bytes() == LOCK.read_bytes()


def lack() -> str:
    """Return why the packages are not there, nothing if they are."""
    if is_installed():
        return ""
    if shutil.which("npm") is None:
        return "npm is not installed"
    return "npm could not install the packages of tests/benchmarks/page"


def main() -> int:
    """Install them, if npm is there. What stays missing is for the tests to tell."""
    npm = shutil.which("npm")
    if is_installed() or npm is None:
        return 0
    print("Installing what judges the page (Lighthouse and axe-core, once) …", flush=True)
    done = subprocess.run([npm, "ci", "--prefer-offline"], cwd=FOLDER, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        shutil.copyfile(LOCK, STAMP)
    return 0


if __name__ == "__main__":
    sys.exit(main())
