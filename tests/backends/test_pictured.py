"""Images on their way to a model server: few are in memory at a time, and none once it has been sent."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.backends.http.client import IMAGES
from app.backends.http.continuation import Begun
from app.backends.http.pictured import PIECE
from app.backends.openai.backend import OpenAIBackend
from app.backends.openai.request_body import chat_body
from app.chat.contents import Image
from app.chat.errors import HistoryUnavailable, ImageNotFound, TailraceError
from app.chat.ports import ChatMessage, ImageData, Request
from tests.doubles.openai import OpenAIDouble
from tests.support.waiting import until

LARGE = 3 * 1024 * 1024


class Shelf:
    """Where images are loaded from. Counts those that were asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked = 0

    def request(self, images: int = 1) -> Request:
        """A request with so many images."""
        pictures = tuple(Image(str(number), "image/png", self.size) for number in range(images))
        return Request("double", [ChatMessage("user", "Look.", pictures)], load=self.load)

    async def load(self, _image_id: str) -> ImageData:
        self.asked += 1
        return ImageData("image/png", bytes(self.size))


class Silent:
    """A server that answers nothing, and reads requests or not."""

    def __init__(self, *, reads: bool) -> None:
        self._reads = reads
        self.taken = 0  # requests that were read to their end
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            left = next(int(line.split()[1]) for line in head.splitlines() if b"Length" in line)
            while self._reads and left:
                left -= len(await reader.readexactly(min(left, 65536)))
            self.taken += not left
            await asyncio.Event().wait()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def silent(*, reads: bool) -> AsyncIterator[tuple[Silent, OpenAIBackend]]:
    """Such a server, and the backend for it."""
    silent = Silent(reads=reads)
    tasks: set[asyncio.Task[None]] = set()

    def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(silent.serve(reader, writer)))

    server = await asyncio.start_server(come, "127.0.0.1", 0, limit=65536)
    backend = OpenAIBackend(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    try:
        yield silent, backend
    finally:
        await backend.aclose()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_that_reads_nothing_holds_up_only_a_few_images() -> None:
    """The others are loaded once one of these is given up."""
    shelf = Shelf(8 * LARGE)  # more than the kernel takes
    async with silent(reads=False) as (_, backend):
        answers = [backend.generate(shelf.request()) for _ in range(IMAGES + 2)]
        reading = [asyncio.create_task(answer.read()) for answer in answers]
        await until(lambda: shelf.asked == IMAGES)
        await until(lambda: backend.open == len(answers))
        assert shelf.asked == IMAGES
        answers[0].abort()
        await until(lambda: shelf.asked == IMAGES + 1)
        for answer in answers:
            answer.abort()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_an_image_that_was_sent_is_not_kept() -> None:
    """However long the model thinks, and however many wait for theirs."""
    shelf = Shelf(LARGE)
    async with silent(reads=True) as (server, backend):
        answers = [backend.generate(shelf.request(2)) for _ in range(IMAGES)]
        tracemalloc.start()
        try:
            reading = [asyncio.create_task(answer.read()) for answer in answers]
            await until(lambda: server.taken == len(answers), within=60)
            held, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < LARGE
        assert most < (IMAGES + 1) * LARGE
        for answer in answers:
            answer.abort()
        await asyncio.gather(*reading, return_exceptions=True)


@pytest.mark.parametrize("error", [ImageNotFound(), HistoryUnavailable("The database is away.")])
async def test_an_image_that_cannot_be_loaded(error: TailraceError) -> None:
    """Its error is that of the answer: the server has done nothing wrong."""

    async def load(_image_id: str) -> ImageData:
        raise error

    picture = Image("i", "image/png", 7)
    async with OpenAIDouble() as double:
        backend = OpenAIBackend(double.url)
        answer = backend.generate(Request("double", [ChatMessage("user", "", (picture,))], load=load))
        with pytest.raises(type(error)):
            await answer.read()
        await answer.wait_closed()
        await backend.aclose()
    assert not double.requests


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 2])
async def test_every_size_arrives(size: int) -> None:
    """The pieces join, and the length that was announced is right."""
    async with OpenAIDouble() as double:
        backend = OpenAIBackend(double.url)
        answer = backend.generate(Shelf(size).request(2))
        while await answer.read():
            pass
        await backend.aclose()
    parts: list[Any] = double.requests[0]["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in parts[1:]]
    assert [base64.b64decode(url.partition(",")[2]) for url in urls] == [bytes(size)] * 2


@given(st.text())
def test_a_text_never_makes_a_place(text: str) -> None:
    """Whatever a prompt says, only its images have one."""
    said = ChatMessage("user", text, (Image("i", "image/png", 1),))
    request = Request("double", [said])
    body = chat_body(request, Begun.of(request))
    assert body.count(b"\0") == 1
    assert json.loads(body.replace(b"\0", b""))["messages"][0]["content"][-1]["type"] == "image_url"
