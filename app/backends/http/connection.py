"""The connection of one request to a model server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError
from aiohttp.streams import StreamReader

from app.backends.http.turns import Turns

MAX_HEAD = 64 * 1024  # bytes before the body: interim (1xx) responses and the headers of the final one
MAX_INTERIM = 16  # such responses
HEAD_PIECE = 2 * 1024  # bytes of them that are parsed before they are counted
# Bytes on the wire for each byte of the body, and beside: chunks of one byte, or what was read ahead, are far below.
FRAMING, MOST_FRAMING = 16, 1024 * 1024
LARGE = 1024  # bytes that arrive at once and are heard in turn
MOST_PIECES = 2048  # of a body that wait to be read; more pause the server, however small they are


class Body(StreamReader):
    """The body of a response, with a reader who does not ask where its chunks end.

    Model servers send each token as a chunk of its own (RFC 9112, section 7.1). aiohttp notes the end of each for
    `readchunk`, and takes the chunks apart again at each read: most of the cost of a token that comes in a burst.
    aiohttp's parser makes its own readers, so a body becomes one of these by `of`.
    """

    __slots__ = ()

    @classmethod
    def of(cls, content: StreamReader) -> None:
        """Let this reader be a `Body` from now on."""
        if type(content) is StreamReader:
            content._http_chunk_splits = None
            content.__class__ = cls

    def begin_http_chunk_receiving(self) -> None:
        """See aiohttp. Hot path: called for every token."""

    def end_http_chunk_receiving(self) -> None:
        """See aiohttp. Hot path: called for every token."""

    def feed_data(self, data: bytes, size: int = 0) -> bool:  # noqa: ARG002 - aiohttp's
        """See aiohttp, which bounds the number of chunks elsewhere. Hot path: called for every token."""
        self._buffer.append(data)
        self._size += len(data)
        self.total_bytes += len(data)
        if (waiter := self._waiter) is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self._size > self._high_water or len(self._buffer) > MOST_PIECES:
            self._protocol.pause_reading()
        return False

    def take(self, most: int) -> bytes:
        """Return what has arrived, up to `most` bytes. Nobody may be waiting in a `read`."""
        buffer = self._buffer
        if self._size > most or self._buffer_offset:
            return self.read_nowait(most)
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        self._cursor += len(data)
        self._protocol.resume_reading()
        return data


class UpstreamConnection(ResponseHandler):
    """An aiohttp connection that reports new data by a callback, without waking a task for each piece.

    It also bounds what is no body. aiohttp limits each header, but not the number of interim responses (RFC 9110,
    section 15.2), which it queues and parses as they come, nor the extensions of a chunk (RFC 9112, section 7.1.1).
    """

    on_data: Callable[[], None] | None = None  # called when the response's `content` has got more, or its end
    on_much: Callable[[], None] | None = None  # called instead if that is much
    on_resumed: Callable[[], None] | None = None  # called when it may have got more after a pause
    _head: int | None = 0  # bytes received before the final response's headers were complete; then `None`
    _interim = 0
    _wire = 0  # bytes received after the headers
    _most = MOST_FRAMING  # of them, by the length of the body when this was last reached

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. Hot path: called for every token."""
        if self._head is None:
            super().data_received(data)
            self._wire += len(data)
            if self._wire > self._most:
                self._weigh()
        else:
            self._receive_head(data)
        if data and self.on_data is not None:  # aiohttp calls this without data to resume its parser
            if len(data) < LARGE or self.on_much is None:
                self.on_data()
            else:
                self.on_much()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """See aiohttp, which calls this for each complete head of a response."""
        message, content = data
        if message.code >= 200:
            self._head = None
            Body.of(content)
        self._interim += 1
        super().feed_data(data, size)

    def _receive_head(self, data: bytes) -> None:
        """Parse the start of a response piece by piece, so that its bound holds within one read of the socket, too."""
        place = 0
        while self._head is not None and place < len(data):
            if self._head > MAX_HEAD or self._interim > MAX_INTERIM:
                self._refuse_head()
                return
            piece = data[place : place + HEAD_PIECE]
            place += len(piece)
            self._head += len(piece)
            super().data_received(piece)
        if place < len(data):
            super().data_received(data[place:])

    def _weigh(self) -> None:
        """Break the connection if what it carries is hardly ever a part of the body."""
        body = self._payload
        if body is None:  # closed
            return
        self._most = MOST_FRAMING + FRAMING * body.total_bytes
        if self._wire > self._most:
            body.set_exception(aiohttp.ClientPayloadError("too much that is no body"))
            if self.transport is not None:
                self.transport.abort()

    def _refuse_head(self) -> None:
        self.set_exception(HttpProcessingError(message="too much before the body"))
        if self.transport is not None:
            self.transport.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """See aiohttp, which calls this after every read and runs its parser each time, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self.on_resumed is not None:
                self.on_resumed()


class Listening:
    """A wait during which a connection calls `hear` for its data, until `end` is called."""

    __slots__ = ("_connection", "_ended", "_hear", "_turns", "takes_turns")

    def __init__(self, connection: UpstreamConnection, hear: Callable[[], None], turns: Turns) -> None:
        self._connection = connection
        self._hear = hear
        self._turns = turns
        self.takes_turns = True  # whether much data is heard in turn
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ended(self) -> None:
        """Call `hear` for what has arrived before, and for what arrives until the end. Raises the error of `end`."""
        connection = self._connection
        connection.on_data, connection.on_much, connection.on_resumed = self._hear, self._hear_much, self.rest
        try:
            self._hear()
            await self._ended
        finally:
            connection.on_data = connection.on_much = connection.on_resumed = None

    def rest(self) -> None:
        """Call `hear` again once it is its turn, and not before."""
        if self._connection.on_data is not None:  # else it waits for its turn already
            self._connection.on_data = None
            self._turns.add(self._go_on)

    def _hear_much(self) -> None:
        if self.takes_turns:
            self.rest()
        else:
            self._hear()

    def _go_on(self) -> None:
        if not self._ended.done():
            self._connection.on_data = self._hear
            self._hear()

    def end(self, error: Exception | None = None) -> None:
        """End the wait. Only the first call has an effect; nothing is heard after it."""
        self._connection.on_data = None
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
