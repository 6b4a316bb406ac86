"""Forked servers are like those that are started anew, and end with who started them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.deploy.running import wait_for_port
from tests.support import forked
from tests.support.forked import Forked
from tests.support.ports import free_port
from tests.support.processes import environment, orphan
from tests.support.waiting import gone

BOUND = 30.0  # seconds, for an end
PARENT = """
import time
from pathlib import Path
from tests.support import forked
from tests.support.processes import ROOT, environment

with open("/dev/null", "wb") as output:
    child = forked.start(["serve"], cwd=ROOT, env=environment({"DATA_DIR": %r, "PORT": "0"}), output=output)
print("child", child.pid, flush=True)
time.sleep(60)
"""


def start(folder: Path, *arguments: str, **settings: str) -> Forked:
    ours = {"SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off", "DATA_DIR": str(folder), **settings}
    with (folder / "output").open("ab") as output:
        return forked.start(arguments, cwd=folder, env=environment(ours), output=output)


def said(folder: Path) -> str:
    return (folder / "output").read_text(encoding="utf-8")


def test_a_server(tmp_path: Path) -> None:
    """It has the settings and the folder that it was given, writes to the file, and ends as it is told."""
    port = free_port()
    with start(tmp_path, "serve", PORT=str(port)) as process:
        wait_for_port(port, process, tmp_path / "output")
        assert process.poll() is None
        assert psutil.Process(process.pid).cwd() == str(tmp_path)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.0)
        process.terminate()
        assert process.wait(BOUND) == process.returncode == 0
    assert f"Tailrace is serving on http://127.0.0.1:{port}" in said(tmp_path)
    process.kill()  # nothing is left to be killed


def test_a_killed_server(tmp_path: Path) -> None:
    """The exit code names the signal, as that of `Popen` does."""
    with start(tmp_path, "serve", PORT="0") as process:
        process.kill()
        assert process.wait(BOUND) == -signal.SIGKILL


def test_a_wrong_argument(tmp_path: Path) -> None:
    """The exit code is the program's, and its errors are in the file."""
    with start(tmp_path, "nonsense") as process:
        assert process.wait(BOUND) == 2
    assert "nonsense" in said(tmp_path)


def test_what_a_child_inherits(tmp_path: Path) -> None:
    """The umask and the limit of descriptors are those of now, not of the first start."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    umask = os.umask(0o027)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
        port = free_port()
        with start(tmp_path, "serve", PORT=str(port)) as process:
            wait_for_port(port, process, tmp_path / "output")
            assert psutil.Process(process.pid).rlimit(resource.RLIMIT_NOFILE) == (limits[0] - 1, limits[1])
            assert "Umask:\t0027\n" in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            process.kill()
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_it_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Nobody has to clean up after `kill -9` of the tests."""
    await gone(await orphan(PARENT % str(tmp_path)))
