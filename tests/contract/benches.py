"""What the backend suite needs of each implementation: requests that behave, and the server's own view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from app.backends.embedded.backend import MODEL, EmbeddedBackend
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.scripts import SCRIPTS, Script
from app.chat.ports import Backend, ChatMessage, Generation, Options, Request
from tests.doubles.agents import AgentDouble
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.doubles.scripted import ScriptedDouble
from tests.doubles.server import ModelDouble


def ask(model: str, prompt: str, **options: object) -> Request:
    """A request with one message."""
    return Request(model, [ChatMessage("user", prompt)], Options(**options))  # type: ignore[arg-type]


class Bench(ABC):
    """One implementation under test."""

    backend: Backend
    port: int | None = None  # of its server, where it has one

    @abstractmethod
    def answer(self) -> Generation:
        """A generation that comes to its end, after 8 tokens."""

    @abstractmethod
    def steady(self) -> Generation:
        """A generation that goes on for longer than any test."""

    @abstractmethod
    def silent(self) -> Generation:
        """A generation that has no token for a long time."""

    @abstractmethod
    async def open_upstream(self) -> int:
        """How many generations the model server itself counts as running."""


class DoubleBench(Bench):
    """A backend in front of a double."""

    def __init__(self, backend: OllamaBackend | OpenAIBackend, double: ModelDouble) -> None:
        self.backend: Backend = backend
        self.double = double
        self.port = int(double.url.rpartition(":")[2])

    def fault(self, name: str) -> Generation:
        """A generation that misbehaves so."""
        return self.backend.generate(ask("double", f"fault={name}"))

    def answer(self) -> Generation:
        return self.fault("none")

    def steady(self) -> Generation:
        return self.fault("steady tokens=100000")

    def silent(self) -> Generation:
        return self.fault("hang-before-first")

    async def open_upstream(self) -> int:
        return self.double.ledger.open


class EmbeddedBench(Bench):
    """The real model."""

    def __init__(self, backend: EmbeddedBackend) -> None:
        self.backend: Backend = backend
        self.embedded = backend

    def answer(self) -> Generation:
        return self.backend.generate(ask(MODEL, "Count to a hundred.", max_tokens=8, seed=1, temperature=0))

    def steady(self) -> Generation:
        return self.backend.generate(ask(MODEL, "Tell me a very long story.", temperature=0, max_tokens=2000))

    def silent(self) -> Generation:
        words = " ".join(str(number) for number in range(900))  # takes seconds to read
        return self.backend.generate(ask(MODEL, words, max_tokens=1000))

    async def open_upstream(self) -> int:
        return sum(slot.is_processing for slot in await self.embedded.slots())


class ScriptedBench(Bench):
    """The scripted models."""

    def __init__(self, backend: ScriptedDouble) -> None:
        self.backend: Backend = backend
        self.scripted = backend

    def answer(self) -> Generation:
        return self.backend.generate(ask("eight", ""))

    def steady(self) -> Generation:
        return self.backend.generate(ask("long", ""))

    def silent(self) -> Generation:
        return self.backend.generate(ask("hang", ""))

    async def open_upstream(self) -> int:
        return self.scripted.ledger.open


class AgentBench(Bench):
    """Agents in Python."""

    def __init__(self, double: AgentDouble) -> None:
        self.double = double
        self.backend: Backend = double.backend

    def answer(self) -> Generation:
        return self.backend.generate(ask("sound", ""))

    def steady(self) -> Generation:
        return self.backend.generate(ask("steady", ""))

    def silent(self) -> Generation:
        return self.backend.generate(ask("hang-before-first", ""))

    async def open_upstream(self) -> int:
        return self.double.ledger.open


@asynccontextmanager
async def ollama() -> AsyncIterator[DoubleBench]:
    async with OllamaDouble() as double:
        backend = OllamaBackend(double.url)
        yield DoubleBench(backend, double)
        await backend.aclose()


@asynccontextmanager
async def openai() -> AsyncIterator[DoubleBench]:
    async with OpenAIDouble(api_key="secret-key") as double:
        backend = OpenAIBackend(double.url, api_key="secret-key")
        yield DoubleBench(backend, double)
        await backend.aclose()


@asynccontextmanager
async def embedded() -> AsyncIterator[EmbeddedBench]:
    backend = EmbeddedBackend(logger=structlog.get_logger())
    yield EmbeddedBench(backend)
    await backend.aclose()


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedBench]:
    scripts = {**SCRIPTS, "eight": Script(text="one two three four five six seven eight", pace=0.001)}
    backend = ScriptedDouble(scripts)
    yield ScriptedBench(backend)
    await backend.aclose()


@asynccontextmanager
async def agents() -> AsyncIterator[AgentBench]:
    double = AgentDouble()
    yield AgentBench(double)
    await double.backend.aclose()


BENCHES: dict[str, Callable[[], AbstractAsyncContextManager[Bench]]] = {
    "ollama": ollama,
    "openai": openai,
    "embedded": embedded,
    "scripted": scripted,
    "agent": agents,
}
