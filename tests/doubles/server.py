"""A model server for tests: a real aiohttp server on loopback, with a ledger and faults to order."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import msgspec
from aiohttp import web

from app.chat.ports import ChatMessage
from tests.doubles.faults import FAULTS, Fault
from tests.doubles.generation_ledger import GenerationLedger, LedgerEntry, session_mark

WORDS = ("The", " river", " turns", " the", " wheel", " and", " flows", " on.")
TURN = 100  # tokens without a pause, after which others have their turn
PIECE = 256 * 1024  # bytes of one write
_MARKS = re.compile(r"\b(fault|tokens|pace)=([\w.-]+)")


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """Return what is said in a message; one with images is made of parts, one that calls tools may have none."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


class ModelDouble(ABC):
    """Serves one wire format. Use it as an async context manager.

    `fault` names the behaviour of all generations; a prompt can choose for itself with `fault=reset`,
    `tokens=20`, `pace=0.01`, and with `session=s1` it says to which session it belongs.
    """

    content_type: str

    def __init__(self, fault: str = "none", *, api_key: str | None = None) -> None:
        self.fault = fault
        self.api_key = api_key
        self.ledger = GenerationLedger()
        self.requests: deque[dict[str, Any]] = deque(maxlen=10_000)  # bodies of the generations asked for
        self.sent_headers: deque[dict[str, str]] = deque(maxlen=10_000)  # theirs, with names in lower case
        self.questions: deque[str] = deque(maxlen=10_000)  # paths of all other requests
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Its address, the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen: on any free port the first time, on the same one after that."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        self.add_routes(app.router)
        # handler_cancellation: a handler learns at once that its client has left
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and cut all connections: from now on they are refused."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @abstractmethod
    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Register the paths."""

    @abstractmethod
    def chunk(self, text: str, *, reasoning: bool = False, padding: int = 0) -> bytes:
        """Encode one token."""

    @abstractmethod
    def closing(self, tokens: int) -> bytes:
        """Encode the end of a complete answer: finish reason, usage, end mark."""

    @abstractmethod
    def failure(self, fault: Fault) -> bytes:
        """Encode an error that comes in the middle of an answer."""

    @abstractmethod
    def refusal(self, fault: Fault) -> bytes:
        """Encode the body of an answer other than 200."""

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for a generation."""
        body = msgspec.json.decode(await request.read())
        self.requests.append(body)
        self.sent_headers.append({name.lower(): value for name, value in request.headers.items()})
        messages = [ChatMessage(item["role"], _text(item["content"])) for item in body["messages"]]
        fault = self._fault_of(messages)
        entry = self.ledger.start(session_mark(messages))
        try:
            response = await self._play(request, fault, self.begun(body))
        except asyncio.CancelledError:
            await self._turn_a_deaf_ear(fault.deaf)
            self.ledger.abort(entry)
            raise
        except ConnectionError:  # the client has left: that is what is counted, and no error of this server
            await self._turn_a_deaf_ear(fault.deaf)
            self.ledger.abort(entry)
            return web.Response()
        self.ledger.finish(entry)
        return response

    def word(self, index: int) -> str:
        """Return a word of the answer, by its place in it."""
        return WORDS[index % len(WORDS)]

    def begun(self, body: dict[str, Any]) -> int:
        """How many words the answer has already: it goes on with a last message of its own."""
        last = body["messages"][-1]
        said = last["content"] if last["role"] == "assistant" else ""
        count = 0
        while len(said) > 0:
            said = said[len(WORDS[count % len(WORDS)]) :]
            count += 1
        return count

    def allows(self, request: web.Request) -> bool:
        """Whether the request brings the right key, if there is one."""
        return self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}"

    @property
    def last(self) -> LedgerEntry:
        """The generation opened last."""
        return self.ledger.entries[-1]

    def _fault_of(self, messages: list[ChatMessage]) -> Fault:
        last = next((message.content for message in reversed(messages) if message.role == "user"), "")
        marks = dict(_MARKS.findall(last))
        fault = FAULTS[marks.get("fault", self.fault)]
        changes: dict[str, Any] = {}
        if "tokens" in marks:
            changes["tokens"] = int(marks["tokens"])
        if "pace" in marks:
            changes["pace"] = float(marks["pace"])
        return replace(fault, **changes)

    async def _play(self, request: web.Request, fault: Fault, begun: int) -> web.StreamResponse:
        if fault.before_headers != "go":
            await self._misbehave(request, fault.before_headers)
        if fault.status != 200 or not self.allows(request):
            status = fault.status if fault.status != 200 else 401
            return web.Response(status=status, body=self.refusal(fault), content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        for index in range(fault.reasoning):
            await self._write(response, self.chunk(f" thought{index}", reasoning=True), fault)
        for index in range(begun, fault.tokens):
            await self._write(response, await self._token(self.word(index), fault), fault)
            # A write that finds room does not yield: a flood would keep everybody else in this loop waiting.
            if fault.pace or index % TURN == TURN - 1:
                await asyncio.sleep(fault.pace)
        await self._finish(request, response, fault)
        return response

    async def _finish(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> None:
        if fault.ending == "end":
            await self._write(response, self.closing(fault.tokens), fault)
        elif fault.ending == "error":
            await response.write(self.failure(fault))
        elif fault.ending == "garbage":
            await response.write(b'data: {"\xff\xfe not json\n\n')
        elif fault.ending != "no-mark":
            await self._misbehave(request, fault.ending)

    async def _token(self, word: str, fault: Fault) -> bytes:
        if not fault.padding:
            return self.chunk(word)
        return await asyncio.to_thread(
            self.chunk, word, padding=fault.padding
        )  # too much for one step of a loop

    async def _write(self, response: web.StreamResponse, data: bytes, fault: Fault) -> None:
        if not fault.drip:
            for position in range(0, len(data), PIECE):
                await response.write(data[position : position + PIECE])
            return
        for position in range(len(data)):
            await response.write(data[position : position + 1])
            if fault.drip_pace:
                await asyncio.sleep(fault.drip_pace)

    async def _turn_a_deaf_ear(self, seconds: float) -> None:
        """Keep the generation open for so long, however often the handler is cancelled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)

    async def _misbehave(self, request: web.Request, how: str) -> None:
        transport = request.transport
        assert transport is not None
        if how == "hang":
            await asyncio.Event().wait()
        if how == "garbage":
            transport.write(b"\x00\xff\x13\x37 this is not HTTP\r\n\r\n")
        if how == "reset":
            await asyncio.sleep(0)
            linger = struct.pack("ii", 1, 0)  # on, 0 s: close with RST
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
        await asyncio.Event().wait()  # the handler is cancelled with its connection
