"""What is guarded: ratios of instructions to those of the smallest relay, counted in the same run.

The ratios hold on every machine; across releases of CPython they differ a little, so each has its own baseline.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NamedTuple

from tests.benchmarks.cost.callgrind import Counted, counted
from tests.benchmarks.cost.workload import VIEWERS, per_prompt, per_token, per_token_of_a_burst
from tests.benchmarks.load.model import Model
from tests.benchmarks.load.servers.target import MEMORY, RELAY, TAILRACE
from tests.support.processes import environment

TOKEN = "a token, history in memory"
BURST = "a token of a burst, history in memory"
VIEWER = "a token delivered to one more viewer, history in memory"
PROMPT = "a prompt with an answer of five tokens, SQLite"


class Cost(NamedTuple):
    """Instructions of ours, and of the relay's token or prompt."""

    ours: float
    relay: float

    @property
    def ratio(self) -> float:
        """What is compared with the baseline."""
        return self.ours / self.relay

    def __str__(self) -> str:
        return f"{self.ours:,.0f} instructions, {self.ratio:.3f} x the relay's {self.relay:,.0f}"


async def measure() -> dict[str, Cost]:
    """Return the costs by name."""
    async with Model() as model, AsyncExitStack() as stack:
        folders = [
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-cost-")) for _ in range(2)
        ]
        relay, in_memory, ours = await asyncio.gather(  # each takes some seconds to start
            stack.enter_async_context(_relay(model)),
            stack.enter_async_context(_tailrace(MEMORY, model, folders[0], DATABASE_URL="memory:")),
            stack.enter_async_context(_tailrace(TAILRACE, model, folders[1])),
        )
        alone = await per_token(in_memory, model)
        watched = await per_token(in_memory, model, VIEWERS)
        burst = await per_token_of_a_burst(in_memory, model)
        prompt = await per_prompt(ours, model)
        relay_token = await per_token(relay, model)
        relay_burst = await per_token_of_a_burst(relay, model)
        relay_prompt = await per_prompt(relay, model)
    return {
        TOKEN: Cost(alone, relay_token),
        BURST: Cost(burst, relay_burst),
        VIEWER: Cost((watched - alone) / VIEWERS, relay_token),
        PROMPT: Cost(prompt, relay_prompt),
    }


def _relay(model: Model) -> AbstractAsyncContextManager[Counted]:
    return counted(RELAY, ["tests.benchmarks.load.servers.relay", model.url], environment({}))


def _tailrace(name: str, model: Model, folder: str, **settings: str) -> AbstractAsyncContextManager[Counted]:
    """Run this server as an operator does."""
    ours = {"PORT": "0", "DATA_DIR": folder, "OLLAMA_URL": model.url, "EMBEDDED": "0", **settings}
    return counted(name, ["app", "serve"], environment(ours))
