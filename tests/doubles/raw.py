"""A model server for tests that answers every generation with given bytes, over a socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Iterable
from typing import Any, Self

import msgspec

CHATS = (b"/chat/completions", b"/api/chat")
LISTS = {
    b"/models": {"data": [{"id": "raw"}]},
    b"/api/tags": {"models": [{"name": "raw:latest"}]},
    b"/api/show": {"capabilities": ["completion", "vision"]},
}


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Return the pieces between the places in `at`."""
    edges = sorted({0, len(data), *(place for place in at if 0 < place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


class RawDouble:
    """Sends `pieces` one by one for each generation, and then closes the connection, by a reset if `resets`.

    Lists of models are answered properly, or with the bytes of `listed`. Use it as an async context manager.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.listed: bytes | None = None
        self.resets = False
        self.pace = 0.0  # s between the pieces
        self.stays = False  # keeps the connection open
        self.strict = False  # refuses messages as strict chat templates do
        self.bodies: list[dict[str, Any]] = []  # of the generations asked for
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(set(self._serving))
        await asyncio.sleep(0)  # the transports close in the next step of the loop

    @property
    def url(self) -> str:
        """Its address."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # The other side may leave at any time: that is what many tests are about.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                path, body = await _request(reader)
                if path.endswith(CHATS):
                    self.bodies.append(msgspec.json.decode(body))
                    wrong = objection(self.bodies[-1]["messages"]) if self.strict else ""
                    if wrong:
                        writer.write(response(wrong, media_type="text/plain", status="400 Bad Request"))
                    else:
                        await self._answer(reader, writer)
                else:
                    writer.write(_listed(path) if self.listed is None else self.listed)
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.pace)
        if self.stays:
            await reader.read()
        if self.resets:
            await asyncio.sleep(0.01)  # a reset overtakes what the other side has not read yet
            linger = struct.pack("ii", 1, 0)  # on, 0 s: close with RST
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


def objection(messages: list[dict[str, Any]]) -> str:
    """Return what a strict chat template would object to, nothing if the messages are as it wants them."""
    if messages[0]["role"] == "system":
        messages = messages[1:]
    wanted = "user"
    for message in messages:
        if message["role"] != wanted:
            return "Conversation roles must alternate user/assistant/user/assistant/..."
        if not message["content"] or not str(message["content"]).strip():
            return "Message content must not be empty"
        wanted = "assistant" if wanted == "user" else "user"
    return "The last message must be the user's" if wanted == "user" else ""


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].partition(b"?")[0]
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return path, await reader.readexactly(length)


def _listed(path: bytes) -> bytes:
    body = next((msgspec.json.encode(said) for end, said in LISTS.items() if path.endswith(end)), b"")
    status = b"200 OK" if body else b"404 Not Found"
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(body)) + body


def response(
    body: bytes | str, *, media_type: str = "text/event-stream", status: str = "200 OK", **headers: str
) -> bytes:
    """Return a response that ends with its connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body.encode() if isinstance(body, str) else body)
