"""The answer of an agent: its generator runs in a task of its own, and the stream reads what it has yielded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from app.agent import Agent, Failed, Note, Piece, Reasoning, Usage
from app.backends.agents.chats import chat_of
from app.backends.agents.steps import Timed
from app.chat import ports
from app.chat.errors import AgentCrashed, AgentFailed, ModelMissing, Refused, UpstreamError, UpstreamTruncated
from app.chat.ports import Delta, Kind, Listener, Logger, Request
from app.chat.scoped_ids import bare
from app.tasks.wake import Wake

AHEAD = 256  # pieces that may be yielded before they are read; then the agent waits
TEXT = 4096  # characters; a longer text is taken as several
SENTENCE = 500  # characters of a failure
BLOCKED = 0.1  # s that a step of an agent may take
MOST = 2**53  # tokens


class AgentGeneration:
    """The `Generation` of an agent, `None` if there is none of that name. Its chat is loaded by the first `read`.

    `opened` and `closed` are called as its task begins and has ended.
    """

    def __init__(
        self,
        request: Request,
        agent: Agent | None,
        *,
        opened: Callable[[AgentGeneration], None],
        closed: Callable[[AgentGeneration], None],
        logger: Logger,
    ) -> None:
        self.finish_reason: str | None = None
        self.usage: ports.Usage | None = None
        self.heard = 0.0
        self.listener: Listener | None = None  # not used: an agent need not be as cheap as a model server
        self._name = request.model
        self._request = request
        self._agent = agent
        self._opened = opened
        self._closed = closed
        self._logger = logger
        self._task: asyncio.Task[None] | None = None
        self._pieces: list[ports.Piece] = []
        self._ahead = 0
        self._came, self._room = Wake(), Wake()
        self._failure: UpstreamError | Refused | None = None
        self._aborted = False
        self._has_blocked = False

    def __repr__(self) -> str:
        return f"<AgentGeneration {self._name} ahead={self._ahead} aborted={self._aborted}>"

    async def read(self) -> Sequence[ports.Piece]:
        """See `Generation`."""
        try:
            while True:
                self._begin()
                if self._pieces or self.finish_reason is not None:
                    return self._take()
                self._came.clear()
                await self._came.wait()
        except BaseException:  # a cancelled read also ends the generation
            self.abort()
            raise

    def abort(self) -> None:
        """See `Generation`. The agent gets a `CancelledError` where it waits, or a `GeneratorExit` at its `yield`."""
        if self._aborted or self._is_over:
            return
        self._aborted = True
        self._pieces.clear()
        self._came.set()
        if self._task is not None:
            self._task.cancel()

    async def wait_closed(self) -> None:
        """See `Generation`. It is closed once the agent's clean-up has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    @property
    def _is_over(self) -> bool:
        return self.finish_reason is not None or self._failure is not None

    def _begin(self) -> None:
        """Start the agent at the first call. Raises an error if it was aborted or has failed."""
        if self._aborted:
            raise UpstreamTruncated("The agent was stopped.")
        if self._failure is not None and not self._pieces:
            raise self._failure
        if self._agent is None:
            raise ModelMissing(f"There is no agent named {self._name!r}.")
        if self._task is None:
            running = self._run(self._agent)
            self._task = asyncio.get_running_loop().create_task(running, name=f"agent {self._name}")
            self._task.add_done_callback(self._ended)
            self._opened(self)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._closed(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crashed(error)
        self._came.set()

    def _take(self) -> Sequence[ports.Piece]:
        pieces, self._pieces, self._ahead = self._pieces, [], 0
        self._room.set()
        return pieces

    async def _run(self, agent: Agent) -> None:
        try:
            await self._drive(agent(await chat_of(self._request)))
            self.finish_reason = "stop"
        except Refused as error:  # an image could not be loaded
            self._failure = error
        except Failed as error:
            self._failure = AgentFailed(_sentence(error))
        except asyncio.CancelledError as error:
            if self._aborted:
                raise
            self._crashed(error)  # by something inside the agent
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is reported; an agent must not end the server
            self._crashed(error)

    async def _drive(self, generator: AsyncGenerator[Piece, None]) -> None:
        """Take the pieces of the agent until it ends or is aborted; then let it clean up."""
        try:
            while not self._aborted:
                try:
                    piece = await Timed(anext(generator), self._took)
                except StopAsyncIteration:
                    return
                self._add(piece)
                while self._ahead >= AHEAD and not self._aborted:
                    self._room.clear()
                    await self._room.wait()
        finally:
            await Timed(generator.aclose(), self._took)

    def _took(self, seconds: float) -> None:
        if seconds < BLOCKED or self._has_blocked:
            return
        self._has_blocked = True
        advice = "nothing else ran meanwhile: await instead, or use asyncio.to_thread"
        self._logger.warning("agent_blocked", agent=self._name, ms=round(seconds * 1000), advice=advice)

    def _add(self, piece: Piece) -> None:
        """Raises `TypeError` for what an agent must not yield."""
        match piece:
            case str():
                self._add_text("token", piece)
            case Reasoning(text=str(text)):
                self._add_text("reasoning", text)
            case Note(text=str(text)):
                self._pieces.append(ports.Note(text[:TEXT]))
                self._ahead += 1
                self.heard = asyncio.get_running_loop().time()
            case Usage(prompt_tokens=int(prompt), completion_tokens=int(completion)):
                self.usage = ports.Usage(_count(prompt), _count(completion))
            case _:
                raise TypeError(f"an agent yields text, Reasoning, Note or Usage, not {_type(piece)}")
        self._came.set()

    def _add_text(self, kind: Kind, text: str) -> None:
        texts = [text[start : start + TEXT] for start in range(0, len(text), TEXT)]
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Delta) and last.kind == kind:
            last.texts.extend(texts)
        elif texts:
            self._pieces.append(Delta(kind, texts))
        self._ahead += len(texts)

    def _crashed(self, error: BaseException) -> None:
        """Log what the agent raised. Its message is for the operator, not for the user."""
        self._logger.error(
            "agent_crashed",
            agent=self._name,
            trace=self._request.stream_id,
            session=bare(self._request.session_id),
            exc_info=error,
        )
        if not self._is_over:
            self._failure = AgentCrashed(f"The agent {self._name} failed. The log of the server says why.")


def _sentence(error: Failed) -> str:
    return " ".join(str(error).split())[:SENTENCE] or "The agent could not answer."


def _count(tokens: int) -> int:
    return min(max(int(tokens), 0), MOST)


def _type(piece: Any) -> str:
    return f"{type(piece).__module__}.{type(piece).__qualname__}"
