"""An owner node that does with a request what a test says, such as nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from app.cluster.ports import Node
from app.web.nodes.peers import NAME

ID = "fake"
Answer = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """One request, and the connection to answer it on."""

    def __init__(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    def begin(self, content_type: str, *, status: str = "200 OK", length: int | None = None) -> None:
        """Send the headers; without a `length` in chunks."""
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self.writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n".encode())

    def say(self, data: bytes) -> None:
        """Send a chunk."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def abort(self) -> None:
        """Lose the connection."""
        self.writer.transport.abort()

    async def left(self) -> None:
        """Return once the other side has closed the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(4096):
                pass


class FakeOwner:
    """A listening node. `node` is where."""

    def __init__(self, node: Node, conversations: list[Conversation]) -> None:
        self.node = node
        self.conversations = conversations


@asynccontextmanager
async def fake_owner(answer: Answer, *, health: bool = True) -> AsyncIterator[FakeOwner]:
    """Run an owner that answers each request with `answer`; `health` is whether it says that it is alive."""
    conversations: list[Conversation] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                conversation = Conversation(head, reader, writer)
                if not head.startswith("GET /healthz"):
                    conversations.append(conversation)
                    await answer(conversation)
                elif health:
                    headers = f"{NAME}: {ID}\r\nContent-Length: 2\r\nConnection: close"
                    writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{{}}".encode())
                    await writer.drain()
                    return  # each question has a connection of its own
                await conversation.left()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield FakeOwner(Node(ID, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), conversations)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
