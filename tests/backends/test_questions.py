"""Short questions to a model server: what an answer may have, and what is left of one that has more."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.client import LARGE_ANSWER, UpstreamClient
from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamRejected

MOST = 2 * LARGE_ANSWER
read = msgspec.json.Decoder(list[str]).decode


@asynccontextmanager
async def asking(body: bytes, *, has_length: bool = True) -> AsyncIterator[UpstreamClient]:
    """A client of a server that answers every question with this."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if has_length:
            response.content_length = len(body)
        await response.prepare(request)
        await response.write(body)
        return response

    app = web.Application()
    app.router.add_route("*", "/question", answer)
    async with TestServer(app) as server:
        upstream = UpstreamClient(server.make_url("/"), ErrorMapper("The double"))
        try:
            yield upstream
        finally:
            await upstream.aclose()


def listed(size: int) -> bytes:
    """A list of one string, so many bytes long in all."""
    return b'["%b"]' % (b"x" * (size - 4))


@pytest.mark.parametrize("has_length", [True, False], ids=["length", "no length"])
async def test_an_answer_has_a_limit_of_its_own(has_length: bool) -> None:
    """One with as many bytes as were asked for is read, and one with more is refused, with the limit."""
    async with asking(listed(MOST), has_length=has_length) as upstream:
        assert len((await upstream.ask("question", read, most=MOST))[0]) == MOST - 4
        with pytest.raises(UpstreamGarbled, match=f"more than {MOST - 1:,} bytes"):
            await upstream.ask("question", read, most=MOST - 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (listed(MOST)[:-1], UpstreamGarbled),
        (b'{"error":"not today"}' + b" " * MOST, UpstreamRejected),
        (b'["' + b"x" * 4 * MOST, UpstreamGarbled),
    ],
    ids=["cut off", "an error", "too large"],
)
async def test_an_error_keeps_nothing_of_the_answer(body: bytes, kind: type[UpstreamError]) -> None:
    """Errors of lists are kept until the next list: neither the error nor its traceback holds what came."""
    async with asking(body, has_length=False) as upstream:
        with pytest.raises(kind) as caught:
            await upstream.ask("question", read, most=MOST + 100)
        error: BaseException | None = caught.value
        while error is not None:
            traceback = error.__traceback__
            while traceback is not None:
                if traceback.tb_frame.f_code.co_filename != __file__:
                    held = [each for each in gc.get_referents(traceback.tb_frame) if isinstance(each, bytes)]
                    assert all(len(each) < LARGE_ANSWER for each in held)
                traceback = traceback.tb_next
            error = error.__cause__ or error.__context__
