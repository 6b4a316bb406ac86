"""The servers under measurement, each in a process of its own on one core, and how each is asked for an answer."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import psutil

from tests.benchmarks.load.model import NAME, Order
from tests.support.processes import environment, serving

_PATHS = {"direct": "/api/chat", "relay": "/pieces", "relay by line": "/lines"}


class Target(NamedTuple):
    """Something that answers an order with a stream of tokens. `pid` is `None` for the model itself."""

    name: str
    url: str
    pid: int | None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def request(self, order: Order) -> bytes:
        """Return the whole HTTP request that asks for `order`."""
        if self.name == "tailrace":
            body = msgspec.json.encode({"prompt": order.prompt, "model": f"ollama/{NAME}"})
            return self.raw("POST", f"/api/sessions/{order.session}/streams", body)
        message = {"role": "user", "content": order.prompt}
        body = msgspec.json.encode({"model": NAME, "messages": [message], "stream": True})
        return self.raw("POST", _PATHS[self.name], body)

    def raw(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return an HTTP request as bytes."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def cpu(self) -> float:
        """Return the processor seconds that its process has used, all threads together."""
        # The id of another process's clock, as clock_getcpuclockid(3) makes it: nanoseconds, where /proc has 1/100 s.
        return 0.0 if self.pid is None else time.clock_gettime((~self.pid << 3) | 2)

    def memory(self) -> int:
        """Return the resident bytes of its process."""
        return 0 if self.pid is None else int(psutil.Process(self.pid).memory_info().rss)


class Cores(NamedTuple):
    """The core of the servers, and that of the load and the model. The same on a machine with one."""

    server: int
    load: int

    @classmethod
    def choose(cls) -> Cores:
        """Take the last and the first core that there are."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[-1], cores[0])


@asynccontextmanager
async def tailrace(model_url: str, core: int) -> AsyncIterator[Target]:
    """Run this server as an operator does, with all of its features, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        settings = {
            "PORT": "0",
            "DATA_DIR": folder,
            "OLLAMA_URL": model_url,
            "EMBEDDED": "0",
            "MAX_STREAMS": "5000",
            "DRAIN_TIMEOUT": "0.01",
        }
        async with _running("tailrace", ["app", "serve"], core, environment(settings)) as target:
            yield target


@asynccontextmanager
async def relay(model_url: str, core: int) -> AsyncIterator[Target]:
    """Run the smallest relay."""
    async with _running("relay", ["tests.benchmarks.load.relay", model_url], core) as target:
        yield target


@asynccontextmanager
async def _running(
    name: str, module: list[str], core: int, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Target]:
    async with serving(module, environ, asyncio.subprocess.DEVNULL) as process:
        os.sched_setaffinity(process.pid, {core})
        yield Target(name, process.url, process.pid)
        await process.end()
