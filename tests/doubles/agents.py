"""Agents that behave and misbehave, with a ledger of those that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from app.agent import Agent, Chat, Failed, Piece, Usage, described
from app.backends.agents.backend import AgentBackend
from tests.doubles.generation_ledger import GenerationLedger, session_mark

WORDS = [
    "The",
    "river",
    "turns",
    "the",
    "wheel",
    "and",
    "flows",
    "on.",
]  # as many as a whole answer has tokens
PACE = 0.02  # s
DEAF_SECONDS = 1.5
Body = Callable[[Chat], AsyncGenerator[Piece, None]]


class AgentDouble:
    """The product's own backend, with these agents."""

    def __init__(self) -> None:
        self.ledger = GenerationLedger()
        self.chats: list[Chat] = []
        self._released = asyncio.Event()
        agents = {
            "sound": self.sound,
            "steady": self.steady,
            "hang-before-first": self.hangs_at_once,
            "hang-middle": self.hangs,
            "failed": self.fails,
            "crash": self.crashes,
            "slow-clean-up": self.cleans_up,
            "deaf": self.is_deaf,
            "never-closes": self.never_closes,
        }
        self.backend = AgentBackend(
            {name: self._watched(body) for name, body in agents.items()}, logger=structlog.get_logger()
        )

    def release(self) -> None:
        """Let those end that never close, of those that run now."""
        self._released.set()
        self._released = asyncio.Event()

    def _watched(self, body: Body) -> Agent:
        @described(continues=True)
        async def agent(chat: Chat) -> AsyncGenerator[Piece, None]:
            self.chats.append(chat)
            async with self._entered(chat):
                pieces = body(chat)
                try:
                    async for piece in pieces:
                        yield piece
                finally:
                    await pieces.aclose()

        return agent

    @asynccontextmanager
    async def _entered(self, chat: Chat) -> AsyncIterator[None]:
        prompt = next((message for message in reversed(chat.messages) if message.role == "user"), None)
        entry = self.ledger.start(session_mark([prompt]) if prompt else "")  # type: ignore[list-item]
        try:
            yield
        except BaseException:
            self.ledger.abort(entry)
            raise
        self.ledger.finish(entry)

    async def sound(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """A whole answer."""
        for word in WORDS:
            yield f" {word}"
            await asyncio.sleep(0)
        yield Usage(len(chat.messages), len(WORDS))

    async def steady(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """An answer without end, every other word without any wait."""
        while True:
            yield " on"
            yield f" and {len(chat.messages)}"
            await asyncio.sleep(PACE)

    async def hangs_at_once(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """No word."""
        await asyncio.Event().wait()
        yield chat.prompt

    async def hangs(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """A few words, then none."""
        async for piece in self._begins():
            yield piece
        async for piece in self.hangs_at_once(chat):
            yield piece

    async def fails(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """A few words, then a sentence that says why there are no more."""
        async for piece in self._begins():
            yield piece
        raise Failed(f"The library is closed. ({chat.owner})")

    async def crashes(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """A few words, then a mistake in the agent."""
        async for piece in self._begins():
            yield piece
        yield str(1 / (len(chat.messages) * 0))

    async def cleans_up(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """Words without end, and a while to put things away."""
        try:
            async for piece in self.steady(chat):
                yield piece
        finally:
            await asyncio.sleep(PACE)

    async def is_deaf(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """Goes on for a while, whatever is said to it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DEAF_SECONDS
        while loop.time() < until:
            try:
                yield f" {len(chat.messages)}"
                await asyncio.sleep(PACE)
            except (asyncio.CancelledError, GeneratorExit):
                await _anyway(until - loop.time())
                return

    async def never_closes(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        """Waits in its clean-up, for good."""
        try:
            for _ in range(100):
                yield f" {len(chat.messages)}"
                await asyncio.sleep(PACE)
        except (asyncio.CancelledError, GeneratorExit):
            released = self._released
            await released.wait()
            raise

    async def _begins(self) -> AsyncIterator[Piece]:
        for word in ("It", " begins", " well"):
            yield word
            await asyncio.sleep(PACE)


async def _anyway(seconds: float) -> None:
    await asyncio.wait({asyncio.ensure_future(asyncio.sleep(max(0.0, seconds)))})
