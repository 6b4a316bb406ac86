"""Where faults are played: a server in front of one model server that misbehaves on request."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from app.backends.embedded.backend import MODEL, EmbeddedBackend
from app.backends.scripted.scripts import Script
from app.chat.ports import Backend, ChatMessage, Options, Request
from tests.doubles.agents import AgentDouble
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.doubles.scripted import ScriptedDouble
from tests.doubles.server import ModelDouble
from tests.faults.expected import Expected
from tests.support.waiting import until

SENTENCE = " The river turns the wheel and flows on."
TOKENS = 8  # of a whole answer

SCRIPTS = {
    "sound": Script(text=SENTENCE, pace=0.001),
    "hang-before-first": Script(ending="hang"),
    "hang-middle": Script(text="It begins well", pace=0.01, ending="hang"),
    "error": Script(text="It begins well", pace=0.03, ending="error"),
    "never-closes": Script(text=SENTENCE, repeat=12, pace=0.02, closes=False),
    "deaf": Script(text=SENTENCE, repeat=12, pace=0.02, deaf=1.5),
}


class Scene:
    """One model server under one fault."""

    backend: str  # its prefix
    extra: tuple[Backend, ...] = ()
    overlaps_are_ours = True  # whether two open generations of a session would be our doing
    together = 4  # how many cells are played at once

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.settings: dict[str, Any] = {"scripted": False}  # of the server in front of it
        self._ready = asyncio.Barrier(self.together)
        self._done = asyncio.Barrier(self.together)

    def faulty(self, session: str) -> dict[str, Any]:
        """The body of a prompt whose answer meets the fault."""
        raise NotImplementedError

    def sound(self, session: str) -> dict[str, Any]:
        """The body of a prompt whose answer is complete, after `TOKENS` tokens."""
        raise NotImplementedError

    def check_whole(self, end: dict[str, Any]) -> None:
        """Check that nothing of that answer is missing, by the data of its `end`."""
        assert end["tokens"] == TOKENS

    async def open_in(self, session: str) -> int:
        """How many generations the model server has, or ever had, of a session."""
        raise NotImplementedError

    async def open(self) -> int:
        """How many generations the model server has open now."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """What comes before the prompts."""

    async def strike(self) -> None:
        """What makes the fault happen once all answers are under way."""

    async def mend(self) -> None:
        """What lets the model server answer again."""

    async def all_under_way(self) -> None:
        """Wait for the other actors, then let the fault strike."""
        if await self._ready.wait() == 0:
            await self.strike()
        await self._ready.wait()

    async def give_up(self) -> None:
        """An actor has failed: do not let the others wait for it."""
        await self._ready.abort()
        await self._done.abort()

    async def all_done(self) -> None:
        """Wait for the other actors, then mend the model server."""
        if await self._done.wait() == 0:
            await self.mend()
        await self._done.wait()


class DoubleScene(Scene):
    """A double on a real socket."""

    def __init__(self, expected: Expected, double: ModelDouble, backend: str) -> None:
        super().__init__(expected)
        self.double = double
        self.backend = backend
        self.settings[f"{backend}_url"] = double.url
        self.overlaps_are_ours = expected.fault != "deaf"

    def faulty(self, session: str) -> dict[str, Any]:
        prompt = f"session={session} fault={self.expected.fault} {self.expected.marks}"
        return self._body(prompt.replace("fault=refuse", ""))

    def sound(self, session: str) -> dict[str, Any]:
        return self._body(f"session={session} fault=none")

    async def open_in(self, session: str) -> int:
        return sum(entry.session == session for entry in self.double.ledger.entries)

    async def open(self) -> int:
        return self.double.ledger.open

    async def prepare(self) -> None:
        if self.expected.fault == "refuse":
            await self.double.stop()

    async def strike(self) -> None:
        if self.expected.fault == "refuse":
            await self.double.start()

    def _body(self, prompt: str) -> dict[str, Any]:
        return {"prompt": prompt, "model": f"{self.backend}/double"}


class ScriptedScene(Scene):
    """Scripts, in the server's own process."""

    backend = "scripted"

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.scripted = ScriptedDouble(SCRIPTS)
        self.extra = (self.scripted,)
        self.overlaps_are_ours = expected.closes

    def faulty(self, session: str) -> dict[str, Any]:
        return {"prompt": f"session={session}", "model": f"scripted/{self.expected.fault}"}

    def sound(self, session: str) -> dict[str, Any]:
        return {"prompt": f"session={session}", "model": "scripted/sound"}

    async def open_in(self, session: str) -> int:
        return sum(entry.session == session for entry in self.scripted.ledger.entries)

    async def open(self) -> int:
        self.scripted.release()  # a script that never closes stays open for good
        return self.scripted.ledger.open


class AgentScene(Scene):
    """Agents, in the server's own process."""

    backend = "agent"

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.double = AgentDouble()
        self.extra = (self.double.backend,)
        self.overlaps_are_ours = expected.closes

    def faulty(self, session: str) -> dict[str, Any]:
        return {"prompt": f"session={session}", "model": f"agent/{self.expected.fault}"}

    def sound(self, session: str) -> dict[str, Any]:
        return {"prompt": f"session={session}", "model": "agent/sound"}

    async def open_in(self, session: str) -> int:
        return sum(entry.session == session for entry in self.double.ledger.entries)

    async def open(self) -> int:
        self.double.release()  # an agent that never closes stays open for good
        return self.double.ledger.open


class EmbeddedScene(Scene):
    """The real model: its process is stopped, or killed."""

    backend = "embedded"

    def __init__(self, expected: Expected) -> None:
        # It is slow enough with one answer at a time. But each death costs a start and a pause: one is for all.
        self.together = 4 if expected.fault == "killed" else 1
        super().__init__(expected)
        self.embedded = EmbeddedBackend(logger=structlog.get_logger())
        self.extra = (self.embedded,)

    def faulty(self, session: str) -> dict[str, Any]:
        options = {"max_tokens": 2000, "seed": 1}
        return {"prompt": "Tell me a very long story.", "model": f"embedded/{MODEL}", "options": options}

    def sound(self, session: str) -> dict[str, Any]:
        options = {"max_tokens": TOKENS, "seed": 1, "temperature": 0.0}
        return {"prompt": "Count to a hundred.", "model": f"embedded/{MODEL}", "options": options}

    def check_whole(self, end: dict[str, Any]) -> None:
        """It reads how far the answer before came, which is never the same, and may say all it has in fewer tokens."""
        if end["finish_reason"] != "stop":
            super().check_whole(end)
        assert 0 < end["tokens"] <= TOKENS

    async def open_in(self, session: str) -> int:
        return self.embedded.open  # before a stopped one has read any request there is no saying whose it is

    async def open(self) -> int:
        return sum(slot.is_processing for slot in await self.embedded.slots())

    async def start(self) -> None:
        """Start the model now: on a busy machine that may take longer than any timeout here."""
        hello = Request(MODEL, [ChatMessage("user", "Hello")], Options(max_tokens=1))
        generation = self.embedded.generate(hello)
        while await generation.read():
            pass

    async def prepare(self) -> None:
        if self.expected.fault == "hang-before-headers":
            self._signal(signal.SIGSTOP)

    async def strike(self) -> None:
        if self.expected.fault == "hang-middle":
            self._signal(signal.SIGSTOP)
        elif self.expected.fault == "killed":
            killed = self.embedded.pid
            self._signal(signal.SIGKILL)
            await until(lambda: self.embedded.pid != killed)

    async def mend(self) -> None:
        if self.expected.fault != "killed":
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.embedded.pid is not None
        os.kill(self.embedded.pid, number)


@asynccontextmanager
async def scene(backend: str, expected: Expected) -> AsyncIterator[Scene]:
    """Set a scene; afterwards the model server has nothing open and is gone."""
    if backend == "scripted":
        yield ScriptedScene(expected)
    elif backend == "agent":
        stage_of_agents = AgentScene(expected)
        yield stage_of_agents
        stage_of_agents.double.release()
    elif backend == "embedded":
        stage = EmbeddedScene(expected)
        await stage.start()
        yield stage
    else:
        async with {"ollama": OllamaDouble, "openai": OpenAIDouble}[backend]() as double:
            yield DoubleScene(expected, double, backend)
            await until(lambda: double.ledger.open == 0)
