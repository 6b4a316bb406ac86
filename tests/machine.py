"""What the tests need of the machine beside Python packages, and what happens without it.

As a program (`python -m tests.machine`, which `make test` runs first) it installs what is missing where it
may: as root, from Debian's packages. Elsewhere the tests that need a missing program are left out and named,
with the reason; under `CI=true` that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Program(NamedTuple):
    """A program that tests run."""

    names: tuple[str, ...]  # as it may be called in PATH, or absolute
    package: str  # Debian's name for it
    reason: str  # what is left out without it

    def find(self) -> str | None:
        """Return its path, `None` where there is none."""
        return next(filter(None, map(shutil.which, self.names)), None)


# Playwright keeps the browsers that it downloaded here; those serve as well.
_DOWNLOADED = [
    str(path)
    for folder in (".cache/ms-playwright", "Library/Caches/ms-playwright")
    for pattern in ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    for path in sorted((Path.home() / folder).glob(pattern))
]

PROGRAMS = {
    "chromium": Program(
        names=("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", *_DOWNLOADED),
        package="chromium",
        reason="the page is not tried in a real browser",
    ),
    "chromium-headless-shell": Program(
        # Not Debian's script of this name in PATH: who ends that does not end the browser.
        names=("/usr/lib/chromium/chromium-headless-shell",),
        package="chromium-headless-shell",
        reason="the page is tried in the whole Chromium, which takes more time",
    ),
    "firefox": Program(
        names=("firefox-esr", "firefox"),
        package="firefox-esr",
        reason="the page is not tried in Firefox",
    ),
    "webkit": Program(
        names=("WebKitWebDriver",),
        package="webkit2gtk-driver",
        reason="the page is not tried in WebKit",
    ),
    "webkit-browser": Program(
        names=tuple(map(str, sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")))),
        package="libwebkit2gtk-4.1-0",
        reason="the page is not tried in WebKit",
    ),
    "xvfb": Program(
        names=("Xvfb",),
        package="xvfb",
        reason="the page is not tried in WebKit, which wants a display",
    ),
    "nginx": Program(
        names=("nginx", "/usr/sbin/nginx"),
        package="nginx-light",
        reason="the shipped nginx site is not tried",
    ),
    "caddy": Program(
        names=("caddy",),
        package="caddy",
        reason="the shipped Caddyfile is not tried",
    ),
    "openssl": Program(
        names=("openssl",),
        package="openssl",
        reason="no proxy with TLS is tried",
    ),
    "curl": Program(
        names=("curl",),
        package="curl",
        reason="nobody checks that the proxies speak HTTP/2",
    ),
    "docker-compose": Program(
        names=("docker-compose",),
        package="docker-compose",
        reason="Compose itself does not check the shipped file",
    ),
    "systemd-analyze": Program(
        names=("systemd-analyze",),
        package="systemd",
        reason="systemd itself does not check the shipped units",
    ),
    "redis": Program(
        names=("redis-server", "valkey-server"),
        package="redis-server",
        reason="nobody tries whether several servers count wrong tokens together",
    ),
    "valgrind": Program(
        names=("valgrind",),
        package="valgrind",
        reason="nobody notices when a token, a viewer or a prompt becomes dearer",
    ),
    "promtool": Program(
        names=("promtool",),
        package="prometheus",
        reason="Prometheus itself does not check the alert rules",
    ),
}


INSTALL = ("install", "--yes", "--no-install-recommends")


def need(program: str) -> str:
    """Return the path of one of `PROGRAMS`; without it skip the test with the reason, in CI fail it."""
    wanted = PROGRAMS[program]
    found = wanted.find()
    if found:
        return found
    message = f"{program} is not installed, so {wanted.reason} (Debian: apt-get install {wanted.package})"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def _apt(*arguments: str) -> bool:
    done = subprocess.run(
        ["apt-get", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    return done.returncode == 0


def main() -> int:
    """Install what is missing, where this user can. What stays missing is for the tests to tell."""
    missing = {name: program for name, program in PROGRAMS.items() if not program.find()}
    if not missing:
        return 0
    packages = [program.package for program in missing.values()]
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        for name, program in missing.items():
            print(f"{name} is missing: {program.reason} (Debian: apt-get install {program.package})")
        return 0
    print(f"Installing for the tests: {', '.join(packages)}", flush=True)
    _apt("update")
    if not _apt(*INSTALL, *packages):
        for package in packages:  # one that this release lacks keeps out the others, too
            _apt(*INSTALL, package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
