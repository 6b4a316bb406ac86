"""Real programs for tests: the server as an operator starts it, and nginx with the shipped site."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, end, environment

START = 20.0  # seconds, generous: the machine may be busy
STOP = 30.0

NGINX = """
daemon off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    gzip on;
    gzip_types *;
    include {prefix}/site.conf;
}}
"""


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[Any]) -> None:
    """Return once something listens. Raises `RuntimeError` if the process ends, or if the time is over."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on {port} after {START:.0f} s")


@contextmanager
def running(command: list[str], port: int, *, cwd: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a program that listens on `port`, and end it: politely first, then for good."""
    with subprocess.Popen(command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port, process)
            yield
        finally:
            end(process, STOP)


@contextmanager
def tailrace(folder: Path, *, python: str = sys.executable, **settings: str) -> Iterator[int]:
    """Run the server with the scripted models alone; yield its port. `settings` are in capitals, unprefixed."""
    port = free_port()
    ours = {"PORT": str(port), "DATA_DIR": str(folder), "SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off"}
    env = environment({**ours, "DRAIN_TIMEOUT": "1", **settings})
    with running([python, "-m", "app", "serve"], port, cwd=ROOT, env=env):
        yield port


@contextmanager
def nginx(
    program: str, folder: Path, upstream: int, *, changes: tuple[tuple[str, str], ...] = ()
) -> Iterator[int]:
    """Run nginx, unprivileged, with the shipped site but for its two ports and `changes`; yield its own port.

    Each change is a text of the site and what stands in its place. Around the site gzip is on for everything, as a
    distribution's own configuration may have it.
    """
    port = free_port()
    site = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    for pattern, ours in (
        (r"listen 80;", f"listen 127.0.0.1:{port};"),
        (r"127\.0\.0\.1:8080", f"127.0.0.1:{upstream}"),
    ):
        site, count = re.subn(pattern, ours, site)
        assert count == 1, pattern
    for ours, theirs in changes:
        assert site.count(ours) == 1, ours
        site = site.replace(ours, theirs)
    (folder / "site.conf").write_text(site, encoding="utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(prefix=folder), encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with running(command, port, cwd=folder, env=os.environ):
        yield port
