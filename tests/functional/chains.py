"""Whole chains for the functional tests: a server on a real socket, and a model server behind it that counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from app.backends.embedded.backend import EmbeddedBackend
from tests.doubles.ollama import OllamaDouble
from tests.support.client import Client
from tests.support.server import LiveServer, serve

MODEL_BOUND = 60.0  # seconds for an answer of the real model on a busy machine


class Chain(ABC):
    """A server with one model server behind it."""

    # Whether the model server counts a closed connection as closed at once. llama.cpp sees it between two batches, so
    # its slots lag behind: there, only that they come free can be asked of it.
    counts_at_once = True

    def __init__(self, live: LiveServer) -> None:
        self.live = live

    @property
    def client(self) -> Client:
        """A client of the server."""
        return self.live.client

    @abstractmethod
    def short(self, session_id: str) -> dict[str, Any]:
        """The body of a POST whose answer is soon complete."""

    @abstractmethod
    def long(self, session_id: str) -> dict[str, Any]:
        """The body of a POST whose answer goes on for long."""

    @abstractmethod
    async def generating(self) -> int:
        """How many generations the model server itself counts as open."""

    def overlaps(self) -> list[str]:
        """Sessions that ever had two generations open at once, where the model server keeps account of that."""
        return []

    async def ask(self, session_id: str, body: dict[str, Any]) -> str:
        """Register a stream; return its id."""
        answer = await self.client.post(session_id, **body)
        assert answer["http"] == 201, answer
        return str(answer["stream_id"])


class OllamaChain(Chain):
    """An Ollama that counts the generations of each session."""

    def __init__(self, live: LiveServer, double: OllamaDouble) -> None:
        super().__init__(live)
        self.double = double

    def short(self, session_id: str) -> dict[str, Any]:
        return {"prompt": f"session={session_id} hello"}

    def long(self, session_id: str) -> dict[str, Any]:
        return {"prompt": f"session={session_id} fault=steady tokens=2000 pace=0.01"}

    async def generating(self) -> int:
        return self.double.ledger.open

    def overlaps(self) -> list[str]:
        return self.double.ledger.overlaps


class EmbeddedChain(Chain):
    """The real model, whose `/slots` tell what it generates."""

    counts_at_once = False

    def short(self, session_id: str) -> dict[str, Any]:
        return {"prompt": "What is water?", "options": {"max_tokens": 12, "seed": 1, "temperature": 0}}

    def long(self, session_id: str) -> dict[str, Any]:
        return {"prompt": "Tell me a very long story.", "options": {"max_tokens": 2000, "seed": 1}}

    async def generating(self) -> int:
        backend = cast("EmbeddedBackend", self.live.backend("embedded"))
        return sum(slot.is_processing for slot in await backend.slots())


@asynccontextmanager
async def ollama(folder: Path) -> AsyncIterator[OllamaChain]:
    """A server before the Ollama double."""
    async with OllamaDouble() as double, serve(folder, ollama_url=double.url, scripted=False) as live:
        yield OllamaChain(live, double)


class KeptModel(EmbeddedBackend):
    """The embedded model, for one server after the other: loading it for each would take most of the time."""

    async def aclose(self) -> None:
        """Stay: the server that ends is not the last."""

    async def end(self) -> None:
        """Close it for good."""
        await super().aclose()


@asynccontextmanager
async def embedded(folder: Path, model: KeptModel) -> AsyncIterator[EmbeddedChain]:
    """A server with the real model."""
    async with serve(folder, scripted=False, extra=(model,)) as live:
        yield EmbeddedChain(live)
