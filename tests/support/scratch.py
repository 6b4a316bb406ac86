"""One folder for all that a run of the tests and its children put into the folder for temporary files.

Browsers, PostgreSQL and killed servers leave theirs behind. `tmp_path` and its like are not in it: pytest keeps those
of the last runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

PREFIX = "tailrace-tests-"  # then the process that made it


def make() -> Path:
    """Make the folder, and let this process and its children put their temporary files into it."""
    home = Path(tempfile.gettempdir())
    _sweep(home)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, and has its own folder in there
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(home))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def remove(folder: Path) -> None:
    """Remove the folder. What a browser that is just ending still writes is left to the next run."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove the folders of runs that were killed."""
    for folder in home.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
