"""A busy server that is killed at some moment: what its viewers saw, and what is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import aiohttp

from tests.support.client import Client

SESSIONS = 16
VIEWERS = 50  # beside the one of each prompt's author
MODELS = ("scripted/long", "scripted/long", "scripted/short", "scripted/reasoning", "scripted/hang-middle")


class Token(NamedTuple):
    """Text as a viewer saw it, and when."""

    time: float
    text: str


class Record:
    """One stream whose prompt was answered 201."""

    def __init__(self, session_id: str, prompt: str, key: str, model: str) -> None:
        self.session_id = session_id
        self.prompt = prompt
        self.key = key
        self.model = model
        self.tokens: list[Token] = []  # of the viewer that saw most
        self.outcome: str | None = None  # as its `end` said, if anybody saw that


class Crowd:
    """Authors and viewers of one round. All of them end when the server does."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client = client
        self.seed = seed
        self.records: dict[str, Record] = {}
        self._random = random.Random(seed)
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Ask and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(self._until_the_end(self._ask, f"session-{number}"))
            for number in range(VIEWERS):
                group.create_task(self._until_the_end(self._watch, f"session-{number % SESSIONS}"))

    async def _until_the_end(self, act: Any, session_id: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            while True:
                await act(session_id)

    async def _ask(self, session_id: str) -> None:
        number = next(self._numbers)
        prompt, key = f"prompt {self.seed}-{number}", f"key-{self.seed}-{number}"
        model = self._random.choice(MODELS)
        posted = await self.client.post(session_id, prompt, key=key, model=model)
        assert posted["http"] == 201, posted
        self.records[posted["stream_id"]] = Record(session_id, prompt, key, model)
        patience = self._random.uniform(0.05, 1.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._read(f"/api/streams/{posted['stream_id']}/events")
        if self._random.random() < 0.3:
            await self.client.stop(posted["stream_id"])

    async def _watch(self, session_id: str) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.2))
        await self._read(f"/api/sessions/{session_id}/events")

    async def _read(self, path: str) -> None:
        seen: dict[str, list[Token]] = {}
        async with self.client.http.get(path, headers={"Accept": "text/event-stream"}) as response:
            if response.status == 404:  # a session that nobody has begun yet
                return
            await self._record(response, seen)

    async def _record(self, response: aiohttp.ClientResponse, seen: dict[str, list[Token]]) -> None:
        from tests.support.sse import read_events

        async for event in read_events(response):
            stream_id = event.data.get("stream_id", "")
            tokens = seen.setdefault(stream_id, [])
            if event.name == "token":
                if not tokens and event.data["position"]:
                    continue  # came in the middle
                tokens.append(Token(time.monotonic(), event.data["text"]))
            if (record := self.records.get(stream_id)) is not None:
                if len(tokens) > len(record.tokens):
                    record.tokens = tokens
                if event.name == "end":
                    record.outcome = event.data["outcome"]


class Findings(NamedTuple):
    """One round, as a row of the table."""

    prompts: int
    ended: int  # whose end was seen
    interrupted: int
    tokens: int  # seen
    lost: int  # of those, not there any more
    oldest: float  # s between the oldest lost token and the crash

    def row(self, number: int) -> str:
        """As one line."""
        return (
            f"{number:5} {self.prompts:8} {self.ended:6} {self.interrupted:12} {self.tokens:7} {self.lost:6}"
            f" {self.oldest * 1000:10.0f}"
        )


FINDING = "crash"
HEAD = "crash  prompts  ended  interrupted  tokens   lost  oldest ms"


def lines(found: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the table as text: a crash is a row."""
    yield HEAD
    yield from (Findings(*row).row(number) for number, row in enumerate(found, start=1))


async def compare(client: Client, crowd: Crowd, died: float) -> Findings:
    """Compare what was seen before the crash with what is there after it. Asserts all but the loss."""
    sessions = {}
    for session_id in {record.session_id for record in crowd.records.values()}:
        sessions[session_id] = await client.get(f"/api/sessions/{session_id}")
        for message in sessions[session_id]["messages"]:
            assert message["role"] == "user" or message["outcome"], f"stuck: {message}"
    interrupted = lost = 0
    oldest = 0.0
    for stream_id, record in crowd.records.items():
        messages = sessions[record.session_id]["messages"]
        prompt, answer = (message for message in messages if message["stream_id"] == stream_id)
        assert prompt["content"] == record.prompt
        state = await client.get(f"/api/streams/{stream_id}")
        assert (state["status"], state["outcome"]) == ("ended", answer["outcome"])
        assert answer["outcome"] in (record.outcome, "interrupted") or record.outcome is None
        interrupted += answer["outcome"] == "interrupted"
        missing = unkept(record.tokens, answer["content"])
        lost += len(missing)
        oldest = max([oldest, *(died - token.time for token in missing)])
    seen = sum(len(record.tokens) for record in crowd.records.values())
    ended = sum(record.outcome is not None for record in crowd.records.values())
    return Findings(len(crowd.records), ended, interrupted, seen, lost, oldest)


def unkept(tokens: list[Token], content: str) -> list[Token]:
    """Return the tokens that were seen and are not there, after checking that the two texts are one."""
    seen = "".join(token.text for token in tokens)
    assert seen.startswith(content) or content.startswith(seen), (seen, content)
    length = 0
    for index, token in enumerate(tokens):
        length += len(token.text)
        if length > len(content):
            return tokens[index:]
    return []


async def repeat_keys(client: Client, crowd: Crowd) -> None:
    """A prompt that is sent again with its key names the stream that it had before the crash."""
    for stream_id, record in list(crowd.records.items())[:3]:
        again = await client.post(record.session_id, record.prompt, key=record.key, model=record.model)
        assert (again["http"], again["stream_id"]) == (200, stream_id)
