"""Alive is not the same as talking: what puts off the timeouts for silence, and what bounds them in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.raw import RawDouble, response
from tests.support.server import serve
from tests.support.sse import text_of

GOOD = b'data: {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}\n\n'
SIGNS = [
    b": still here\n\n",
    b'data: {"choices": [{"delta": {"content": ""}}]}\n\n',
    b"event: ping\ndata: {}\n\n",
]


@pytest.mark.parametrize("sign", SIGNS, ids=["comment", "empty delta", "ping"])
async def test_signs_of_life_put_off_the_end(tmp_path: Path, sign: bytes) -> None:
    """A model that takes longer than the first-token timeout is waited for while its server says that it lives."""
    async with RawDouble() as double:
        double.pieces, double.pace = [response(b""), *[sign] * 12, GOOD], 0.4
        async with serve(tmp_path, scripted=False, openai_url=double.url, first_token_timeout=3.0) as live:
            events = await live.client.ask("s1", "Hello", model="openai/raw")
    assert (events[-1].data["outcome"], text_of(events)) == ("complete", "Hello")


async def test_life_without_a_word_has_a_bound(tmp_path: Path) -> None:
    """Signs of life that never end are given up on after the quiet timeout, with its seconds."""
    async with RawDouble() as double:
        double.pieces, double.pace = [response(b""), *SIGNS * 100], 0.1
        limits = {"first_token_timeout": 3.0, "quiet_timeout": 4.0}
        async with serve(tmp_path, scripted=False, openai_url=double.url, **limits) as live:  # type: ignore[arg-type]
            events = await live.client.ask("s1", "Hello", model="openai/raw")
    end = events[-1].data
    assert (end["outcome"], end["error"]["code"]) == ("failed", "first_token_timeout")
    assert "within 4 s" in end["error"]["message"]


async def test_an_answer_ends_with_its_reason(tmp_path: Path) -> None:
    """A server that keeps the connection open after the finish reason is not waited for until it is a timeout."""
    async with RawDouble() as double:
        double.pieces, double.stays = [response(GOOD)], True
        async with serve(tmp_path, scripted=False, openai_url=double.url, token_timeout=20.0) as live:
            events = await live.client.ask("s1", "Hello", model="openai/raw")
    assert (events[-1].data["outcome"], text_of(events)) == ("complete", "Hello")
