"""A generation with a listener: text goes to it as it arrives, and only the end wakes the reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from app.backends.http.connection import MOST_FRAMING
from app.backends.http.slices import SMALLEST
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.openai.decoder import OpenAIDecoder
from app.chat.errors import UpstreamError, UpstreamTruncated
from app.chat.ports import Delta, Generation
from tests.contract.benches import ask
from tests.doubles.raw import RawDouble
from tests.support.waiting import stays, until

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"data: [DONE]\n\n"
BOUND = 10.0  # s


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def token(text: str) -> bytes:
    """Return one token as a chunk."""
    return chunk(b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode())


@pytest.fixture
async def server() -> AsyncIterator[RawDouble]:
    """A server that sends what a test says."""
    async with RawDouble() as server:
        yield server


@pytest.fixture
async def backend(server: RawDouble) -> AsyncIterator[OpenAIBackend]:
    """A backend in front of it."""
    backend = OpenAIBackend(server.url)
    yield backend
    await backend.aclose()


class Ear:
    """A reader that lets a listener have what comes after the first text."""

    def __init__(self, generation: Generation) -> None:
        self.texts: list[str] = []
        self.reads = 0
        self._generation = generation

    def hear(self, deltas: Sequence[Delta]) -> None:
        self.texts += [text for delta in deltas for text in delta.texts]

    async def read(self) -> None:
        """Read to the end."""
        async with asyncio.timeout(BOUND):
            while pieces := await self._generation.read():
                self.hear([piece for piece in pieces if isinstance(piece, Delta)])
                self._generation.listener = self.hear
                self.reads += 1


async def test_the_reader_is_woken_for_the_first_text_and_the_end(
    server: RawDouble, backend: OpenAIBackend
) -> None:
    """However many tokens there are, in whatever pieces they arrive; also if a chunk is cut anywhere."""
    words = [f"w{number} " for number in range(50)]
    whole = b"".join(map(token, words)) + chunk(END) + chunk(b"")
    server.pieces = [
        HEAD,
        token("first "),
        *(whole[place : place + 37] for place in range(0, len(whole), 37)),
    ]
    server.pace = 0.001
    ear = Ear(backend.generate(ask("raw", "hello")))
    await ear.read()
    assert ear.texts == ["first ", *words]
    assert ear.reads == 1


async def test_what_breaks_off_is_told_after_the_text(server: RawDouble, backend: OpenAIBackend) -> None:
    """A connection that closes in the middle of a chunk, or is reset."""
    for resets in (False, True):
        server.resets = resets
        server.pieces = [HEAD, token("one"), token("two"), b"40\r\n"]
        server.pace = 0.01
        generation = backend.generate(ask("raw", "hello"))
        ear = Ear(generation)
        with pytest.raises(UpstreamTruncated):
            await ear.read()
        assert ear.texts == ["one", "two"]
        await generation.wait_closed()


async def test_what_is_slow_to_decode_comes_in_small_slices(
    server: RawDouble, backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that makes it slow, others wait for little of it at a time."""
    sizes: list[int] = []
    feed = OpenAIDecoder.feed

    def slow(decoder: OpenAIDecoder, data: bytes) -> None:
        sizes.append(len(data))
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        feed(decoder, data)

    monkeypatch.setattr(OpenAIDecoder, "feed", slow)
    server.pieces = [HEAD, token("one"), token("x" * 500) * 60 + chunk(END) + chunk(b"")]
    ear = Ear(backend.generate(ask("raw", "hello")))
    await ear.read()
    assert len(ear.texts) == 61
    assert set(sizes[4:-1]) == {SMALLEST}


async def test_extensions_of_a_chunk_have_an_end(server: RawDouble, backend: OpenAIBackend) -> None:
    """What carries no body breaks the connection, after the text from before it."""
    server.pieces, server.stays = [HEAD, token("one"), token("two") + b"1;a=" + b"x" * 2 * MOST_FRAMING], True
    ear = Ear(backend.generate(ask("raw", "hello")))
    with pytest.raises(UpstreamTruncated):
        await ear.read()
    assert ear.texts == ["one", "two"]


async def test_tiny_chunks_are_usual(server: RawDouble, backend: OpenAIBackend) -> None:
    """A body in chunks of one byte is heard to its end: six times as long on the wire, and paused on the way."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 1000)
    body = event * (MOST_FRAMING // 5 // len(event)) + END
    server.pieces = [HEAD, b"".join(b"1\r\n%c\r\n" % byte for byte in body) + chunk(b"")]
    ear = Ear(backend.generate(ask("raw", "hello")))
    await ear.read()
    assert len(ear.texts) == body.count(event)


async def test_a_complaint_is_told_after_the_text(server: RawDouble, backend: OpenAIBackend) -> None:
    """An error in the stream ends the generation, although the connection stays open."""
    server.pieces = [HEAD, token("one"), token("two") + chunk(b'data: {"error":"out of memory"}\n\n')]
    server.pace, server.stays = 0.01, True
    generation = backend.generate(ask("raw", "hello"))
    ear = Ear(generation)
    with pytest.raises(UpstreamError, match="out of memory"):
        await ear.read()
    assert ear.texts == ["one", "two"]
    await generation.wait_closed()


async def test_an_error_of_the_listener_ends_the_generation(
    server: RawDouble, backend: OpenAIBackend
) -> None:
    """`read` raises it, nothing is heard afterwards, and the connection is closed."""
    server.pieces, server.pace, server.stays = [HEAD, *map(token, "abcdef")], 0.005, True
    generation = backend.generate(ask("raw", "hello"))
    heard: list[str] = []

    def refuse(deltas: Sequence[Delta]) -> None:
        heard.extend(text for delta in deltas for text in delta.texts)
        raise LookupError("enough")

    assert await generation.read()
    generation.listener = refuse
    with pytest.raises(LookupError):
        async with asyncio.timeout(BOUND):
            await generation.read()
    await generation.wait_closed()
    assert heard == ["b"]
    assert backend.open == 0


@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_it_ends_from_outside(server: RawDouble, backend: OpenAIBackend, how: str) -> None:
    """Stopped or cancelled while the listener gets the text, nothing more is heard."""
    server.pieces, server.pace = [HEAD, *[token("x")] * 1000], 0.001
    generation = backend.generate(ask("raw", "hello"))
    ear = Ear(generation)
    reading = asyncio.create_task(ear.read())
    await until(lambda: len(ear.texts) > 3)
    if how == "abort":
        generation.abort()
    else:
        reading.cancel()
    await asyncio.wait({reading}, timeout=BOUND)
    assert reading.done()
    assert reading.cancelled() == (how == "cancel")
    if how == "abort":
        assert isinstance(reading.exception(), UpstreamError)
    await generation.wait_closed()
    heard = len(ear.texts)
    await stays(lambda: len(ear.texts) == heard, during=0.02)


@pytest.mark.parametrize("sign", [b": waiting\n\n", b" ", b":"])
async def test_signs_of_life_are_noted(server: RawDouble, backend: OpenAIBackend, sign: bytes) -> None:
    """A comment between two tokens is one, and so is a blank, which proxies send."""
    server.pieces, server.pace, server.stays = (
        [HEAD, token("a"), token("b"), chunk(sign)],
        0.02,
        True,
    )
    generation = backend.generate(ask("raw", "hello"))
    ear = Ear(generation)
    reading = asyncio.create_task(ear.read())
    await until(lambda: generation.heard > 0)
    assert ear.texts == ["a", "b"]
    generation.abort()
    await asyncio.wait({reading}, timeout=BOUND)
    assert isinstance(reading.exception(), UpstreamError)


async def test_a_flood_is_held_back_and_complete(server: RawDouble) -> None:
    """More than the buffers hold arrives at once, and reading is paused on the way."""
    line = b'{"message":{"content":"%b"},"done":false}\n' % (b"x" * 1000)
    end = b'{"message":{"content":""},"done":true,"done_reason":"stop"}\n'
    server.pieces = [HEAD, chunk(line), chunk(line * 3000), chunk(end) + chunk(b"")]
    backend = OllamaBackend(server.url)
    try:
        ear = Ear(backend.generate(ask("raw", "hello")))
        await ear.read()
        assert len(ear.texts) == 3001
    finally:
        await backend.aclose()
