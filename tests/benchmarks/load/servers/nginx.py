"""nginx, which passes the bytes of the model through: what a proxy in C costs, without any features."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.benchmarks.load.servers.errors import MissingPeerError
from tests.benchmarks.load.servers.pinning import pin
from tests.benchmarks.load.servers.target import NGINX, Target
from tests.machine import PROGRAMS
from tests.support.ports import free_port
from tests.support.processes import END_SECONDS, START_SECONDS

CONFIG = """
daemon off;
user {user};
pid {folder}/nginx.pid;
worker_processes 1;
worker_rlimit_nofile 8192;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass {model_url};
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


@asynccontextmanager
async def nginx(model_url: str, core: int) -> AsyncIterator[Target]:
    """Run nginx with one worker. Raises `MissingPeerError`."""
    program = PROGRAMS["nginx"].find()
    if program is None:
        raise MissingPeerError(
            f"nginx is not installed (Debian: apt-get install {PROGRAMS['nginx'].package})"
        )
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        config, log = Path(name) / "nginx.conf", Path(name) / "error.log"
        user = "root" if os.geteuid() == 0 else "nobody"  # of the worker, which has to write to the folder
        config.write_text(CONFIG.format(user=user, folder=name, port=port, model_url=model_url))
        command = [*_with_its_parent(), program, "-e", str(log), "-p", name, "-c", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            await _listens(port, process, log)
            pin(process.pid, core)
            yield Target(NGINX, f"http://127.0.0.1:{port}", process.pid)
        finally:
            await _end(process)


def _with_its_parent() -> list[str]:
    """Return how to start a program that ends with its parent, however that dies."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


async def _listens(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
            if process.returncode is not None:
                raise MissingPeerError(f"nginx does not run: {_complaint(log)}")


def _complaint(log: Path) -> str:
    return log.read_text(encoding="utf-8").strip() if log.exists() else "it wrote no log"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    waiting = asyncio.ensure_future(process.wait())
    done, _ = await asyncio.wait({waiting}, timeout=END_SECONDS)
    if not done:
        process.kill()
        await waiting
