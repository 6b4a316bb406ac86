"""One Chromium for all tests of a run, since starting it takes longer than most tests do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine import PROGRAMS, need
from tests.support.processes import end
from tests.support.waiting import found

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Neither the pages of the address bar, which no test types into, nor a process in store: a third of the work.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,SpareRendererForSitePerProcess",
]
# What Playwright itself sets so that a page behaves the same whether or not its window would be in front.
HEADLESS = [
    "--headless=new",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]
SHELL = PROGRAMS["chromium-headless-shell"]
START_TIMEOUT = 30.0  # s
STOP_TIMEOUT = 10.0  # s


def chromium_to_try() -> str:
    """Return the path of the Chromium that the tests run, as `need` does.

    That is the shell: the same engine in the same version, without the windows, menus and address bar that nobody
    sees here. It takes three fifths of the processor time. Playwright, too, runs it unless it is asked for a window.
    """
    return SHELL.find() or need("chromium")


@contextmanager
def running_chromium(executable: str, profile: Path, *arguments: str) -> Iterator[str]:
    """Run Chromium, with these arguments beside its own; yields the address that Playwright connects to."""
    command = [
        executable,
        *ARGUMENTS,
        *HEADLESS,
        *arguments,
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{_port(process, profile / 'DevToolsActivePort')}"
        finally:
            end(process, STOP_TIMEOUT)


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    """Return the port, which Chromium writes to a file once it listens."""

    def port() -> int | None:
        if process.poll() is not None:
            raise RuntimeError(f"Chromium did not start (exit code {process.returncode})")
        lines = file.read_text().splitlines() if file.exists() else []
        return int(lines[0]) if len(lines) > 1 else None

    return found(port, within=START_TIMEOUT, what="Chromium does not listen")
