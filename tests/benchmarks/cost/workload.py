"""The fixed work that is counted, step by step: nothing is sent before all that came of the last step has arrived.

So each token is one wake-up of the server, and the counts do not depend on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from statistics import median

from tests.benchmarks.cost.callgrind import Counted
from tests.benchmarks.load.client.answer import PATIENCE, Answer
from tests.benchmarks.load.model import BURST, Generation, Model, Order
from tests.benchmarks.load.servers.target import Target

SLICES = 7  # of each measurement; the median leaves out those in which a timer of the server fired
TOKENS = 50  # in a slice
BURSTS = 10  # in a slice
VIEWERS = 20  # more, for the cost of one
PROMPTS = 4  # in a slice
ANSWER = 5  # tokens of each
WARM_TOKENS = 100
WARM_PROMPTS = 8
POLL = 0.0005  # s

_keys = itertools.count(1)


class Conversation:
    """One answer, and everybody who reads it."""

    def __init__(self, model: Model, target: Target, session: str, tokens: int) -> None:
        self.order = Order(next(_keys), session, "silent", tokens)
        self.answers: list[Answer] = []
        self._model = model
        self._target = target

    def __repr__(self) -> str:
        return f"<Conversation {self.order.key} readers={len(self.answers)}>"

    async def begin(self) -> None:
        """Ask, and wait until the model begins."""
        self.answers.append(await Answer.ask(self._target, self._target.request(self.order)))
        await until(lambda: self.order.key in self._model.generations)
        self._generation.begin()

    async def join(self, viewers: int) -> None:
        """Let further viewers read the answer from its beginning."""
        if not viewers:
            return
        said = self.answers[0].tokens
        view = self._target.raw("GET", f"/api/streams/{self.answers[0].stream_id}/events")
        for _ in range(viewers):
            self.answers.append(await Answer.ask(self._target, view))
            await until(lambda: self.answers[-1].tokens == said)

    async def say(self, tokens: int) -> None:
        """Let the model say tokens, one at a time."""
        for _ in range(tokens):
            said = self.answers[0].tokens + 1
            self._generation.write(1)
            await until(lambda: all(answer.tokens == said for answer in self.answers))  # noqa: B023 - awaited here

    async def burst(self) -> None:
        """Let the model say `BURST` tokens in one write."""
        said = self.answers[0].tokens + BURST
        self._generation.write(BURST)
        await until(lambda: all(answer.tokens == said for answer in self.answers))

    async def ended(self) -> None:
        """Wait until all readers have the end."""
        await until(lambda: all(answer.ended.done() for answer in self.answers))

    @property
    def _generation(self) -> Generation:
        return self._model.generations[self.order.key]


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true. Raises `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(POLL)


async def per_token(counted: Counted, model: Model, viewers: int = 0) -> float:
    """Return the instructions of a token of a running answer, with so many viewers in addition to the one who asked."""
    talk = Conversation(model, counted.target, "tokens", 1_000_000)
    await talk.begin()
    await talk.say(1)
    await talk.join(viewers)
    await talk.say(WARM_TOKENS)
    counts = await sliced(counted, lambda: talk.say(TOKENS))
    for answer in talk.answers:
        answer.hang_up()
    return counts / TOKENS


async def per_token_of_a_burst(counted: Counted, model: Model) -> float:
    """Return the instructions of a token of an answer that comes as fast as the model can write it."""

    async def bursts(count: int) -> None:
        for _ in range(count):
            await talk.burst()

    talk = Conversation(model, counted.target, "bursts", 1_000_000)
    await talk.begin()
    await bursts(BURSTS)
    counts = await sliced(counted, lambda: bursts(BURSTS))
    talk.answers[0].hang_up()
    return counts / BURSTS / BURST


async def per_prompt(counted: Counted, model: Model) -> float:
    """Return the instructions of an exchange: the prompt, its events, a short answer and its end."""
    numbers = itertools.count()

    async def exchanges(count: int) -> None:
        session = f"prompts-{next(numbers)}"
        for _ in range(count):
            talk = Conversation(model, counted.target, session, ANSWER)
            await talk.begin()
            await talk.say(ANSWER)
            await talk.ended()

    await exchanges(WARM_PROMPTS)
    return await sliced(counted, lambda: exchanges(PROMPTS)) / PROMPTS


async def sliced(counted: Counted, work: Callable[[], Awaitable[None]]) -> float:
    """Return the instructions of some work, without what the counting itself costs."""
    await counted.instructions()
    empty = median([await counted.instructions() for _ in range(SLICES)])
    counts = []
    for _ in range(SLICES):
        await work()
        counts.append(await counted.instructions())
    return median(counts) - empty
