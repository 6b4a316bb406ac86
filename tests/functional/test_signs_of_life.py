"""Alive is not the same as talking: what puts off the timeouts for silence, and what bounds them in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.doubles.raw import RawDouble, response
from tests.support.fresh import lay_history
from tests.support.server import serve
from tests.support.sse import Event, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = b'data: {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}\n\n'
SIGNS = {
    "comment": b": still here\n\n",
    "empty delta": b'data: {"choices": [{"delta": {"content": ""}}]}\n\n',
    "ping": b"event: ping\ndata: {}\n\n",
}


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A model server that sends `pieces`, one every `pace` seconds, and a server before it with these `settings`."""

    pieces: Sequence[bytes]
    pace: float = 0.0
    stays: bool = False  # keeps the connection open behind the last piece
    settings: dict[str, Any] = field(default_factory=dict)

    async def ask(self, folder: Path) -> list[Event]:
        """Ask it something; return the events of the answer."""
        async with RawDouble() as double:
            double.pieces, double.pace, double.stays = [*self.pieces], self.pace, self.stays
            async with serve(folder, scripted=False, openai_url=double.url, **self.settings) as live:
                return await live.client.ask("s1", "Hello", model="openai/raw")


CHAINS = {
    **{
        name: Chain(
            pieces=[response(b""), *[sign] * 12, GOOD], pace=0.4, settings={"first_token_timeout": 3.0}
        )
        for name, sign in SIGNS.items()
    },
    "without a word": Chain(
        pieces=[response(b""), *[*SIGNS.values()] * 100],
        pace=0.1,
        settings={"first_token_timeout": 3.0, "quiet_timeout": 4.0},
    ),
    "life after the reason": Chain(
        pieces=[response(GOOD), *[*SIGNS.values()] * 100],
        pace=0.1,
        settings={"token_timeout": 3.0, "quiet_timeout": 8.0},
    ),
    "finish reason": Chain(pieces=[response(GOOD)], stays=True, settings={"token_timeout": 20.0}),
}
Answers = dict[str, "asyncio.Task[list[Event]]"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Answers]:
    """What each chain answers. They are asked at once, for nearly all of their time is silence."""
    async with AsyncExitStack() as stack:
        asking: Answers = {}
        await lay_history(tmp_path_factory.mktemp("first"))  # its tables are laid once, by one at a time
        for name, chain in CHAINS.items():
            asking[name] = asyncio.create_task(chain.ask(tmp_path_factory.mktemp("data")))
            stack.push_async_callback(asyncio.wait, {asking[name]})
            stack.callback(asking[name].cancel)
        yield asking


@pytest.mark.parametrize("sign", SIGNS)
async def test_signs_of_life_put_off_the_end(answers: Answers, sign: str) -> None:
    """A model that takes longer than the first-token timeout is waited for while its server says that it lives."""
    events = await answers[sign]
    assert (events[-1].data["outcome"], text_of(events)) == ("complete", "Hello")


async def test_life_without_a_word_has_a_bound(answers: Answers) -> None:
    """Signs of life that never end are given up on after the quiet timeout, with its seconds."""
    end = (await answers["without a word"])[-1].data
    assert (end["outcome"], end["error"]["code"]) == ("failed", "first_token_timeout")
    assert "within 4 s" in end["error"]["message"]


async def test_an_answer_ends_with_its_reason(answers: Answers) -> None:
    """A server that keeps the connection open after the finish reason is not waited for until it is a timeout."""
    events = await answers["finish reason"]
    assert (events[-1].data["outcome"], text_of(events)) == ("complete", "Hello")


async def test_life_after_the_reason_puts_off_nothing(answers: Answers) -> None:
    """A server that says it lives after the finish reason has no more to say, and would take up a place."""
    events = await answers["life after the reason"]
    assert (events[-1].data["outcome"], text_of(events)) == ("complete", "Hello")
