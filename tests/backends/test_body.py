"""The reader of a response's body, which keeps no ends of chunks."""

from __future__ import annotations

import asyncio

from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from app.backends.http.connection import MOST_PIECES, Body

LIMIT = 1024  # bytes; twice as many pause the server


class _Protocol(BaseProtocol):
    """Counts how often the server is paused, and how often it goes on."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.transport = asyncio.Transport()  # connected
        self.pauses = self.resumptions = 0

    def pause_reading(self) -> None:
        self.pauses += 1

    def resume_reading(self, resume_parser: bool = True) -> None:
        del resume_parser
        self.resumptions += 1


def _body(*first: bytes) -> tuple[Body, _Protocol]:
    """Return a body as aiohttp's parser makes it: with chunks that came together with the headers."""
    protocol = _Protocol()
    content = StreamReader(protocol, LIMIT, loop=asyncio.get_running_loop())
    for piece in first:
        _chunk(content, piece)
    Body.of(content)
    assert isinstance(content, Body)
    return content, protocol


def _chunk(content: StreamReader, data: bytes) -> None:
    content.begin_http_chunk_receiving()
    content.feed_data(data)
    content.end_http_chunk_receiving()


async def test_chunks_are_taken_together_and_in_order() -> None:
    """Those from before the change of reader, too. Nothing is left, and the server may go on."""
    body, protocol = _body(b"a", b"b")
    _chunk(body, b"c")
    assert body.take(LIMIT) == b"abc"
    assert body.take(LIMIT) == b""
    assert protocol.resumptions
    _chunk(body, b"d")
    assert body.take(LIMIT) == b"d"
    assert body.total_bytes == 4


async def test_no_more_is_taken_than_asked_for() -> None:
    """The rest stays, also if it is a part of a chunk."""
    body, _ = _body()
    for piece in (b"abc", b"def", b"ghi"):
        _chunk(body, piece)
    assert [body.take(4) for _ in range(4)] == [b"abcd", b"efgh", b"i", b""]


async def test_a_read_waits_for_data_and_for_the_end() -> None:
    """As with aiohttp's own reader."""
    body, _ = _body()
    reading = asyncio.ensure_future(body.read(LIMIT))
    await asyncio.sleep(0)
    assert not reading.done()
    _chunk(body, b"late")
    assert await reading == b"late"
    reading = asyncio.ensure_future(body.read(LIMIT))
    await asyncio.sleep(0)
    body.feed_eof()
    assert await reading == b""


async def test_the_server_is_paused_by_bytes_and_by_pieces() -> None:
    """Tiny chunks take far more memory than their bytes."""
    body, protocol = _body()
    body.feed_data(b"x" * 2 * LIMIT)
    assert protocol.pauses == 0
    body.feed_data(b"x")
    assert protocol.pauses == 1
    content = StreamReader(tiny := _Protocol(), LIMIT * LIMIT, loop=asyncio.get_running_loop())
    Body.of(content)
    for _ in range(MOST_PIECES):
        content.feed_data(b"x")
    assert tiny.pauses == 0
    content.feed_data(b"x")
    assert tiny.pauses == 1
