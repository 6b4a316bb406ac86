"""The backend of the agents: each is the model `agent/<name>`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from app.agent import Agent, Description
from app.backends.agents.generation import AgentGeneration
from app.chat.ports import Generation, Logger, Model, Request
from app.tasks.timeouts import within

CLOSE_SECONDS = 2.0  # that agents have to clean up when the server closes


class AgentBackend:
    """The `Backend` of `agents`, which are found by name."""

    name = "agent"

    def __init__(self, agents: Mapping[str, Agent], *, logger: Logger) -> None:
        self._agents = dict(agents)
        self._logger = logger
        self._open: set[AgentGeneration] = set()

    def __repr__(self) -> str:
        return f"<AgentBackend {', '.join(self._agents)} open={len(self._open)}>"

    @property
    def open(self) -> int:
        """The number of agents that run, those that clean up included."""
        return len(self._open)

    async def models(self) -> list[Model]:
        """See `Backend`."""
        return [self._model(name, agent) for name, agent in self._agents.items()]

    def _model(self, name: str, agent: Agent) -> Model:
        said = _description(agent)
        return Model(name, self.name, said.context, continues=said.continues, vision=said.images)

    def generate(self, request: Request) -> Generation:
        """See `Backend`."""
        return AgentGeneration(
            request,
            self._agents.get(request.model),
            opened=self._open.add,
            closed=self._open.discard,
            logger=self._logger,
        )

    async def aclose(self) -> None:
        """See `Backend`. Agents that do not end in time are left behind."""
        for generation in tuple(self._open):
            generation.abort()
        ends = [generation.wait_closed() for generation in self._open]
        try:
            await within(CLOSE_SECONDS, _all(ends))
        except TimeoutError:
            self._logger.warning("agents_left", agents=len(self._open))


async def _all(waits: list[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*waits)


def _description(agent: Agent) -> Description:
    said = getattr(agent, "__tailrace__", None)
    return said if isinstance(said, Description) else Description()
