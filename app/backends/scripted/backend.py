"""The scripted backend: models that deterministically reproduce rare behaviour of real models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from app.backends.decoding.decoder import DeltaBuffer
from app.backends.scripted.scripts import SCRIPTS, Script, Step, steps
from app.chat.errors import ModelMissing, UpstreamError, UpstreamTruncated
from app.chat.ports import Listener, Model, Note, Piece, Request, Usage

CONTEXT = 8192  # tokens


class ScriptedBackend:
    """The `Backend` of the scripts. It uses only the loop's timers, so it also runs in virtual time.

    `hurry` divides all times.
    """

    name = "scripted"

    def __init__(self, scripts: Mapping[str, Script] = SCRIPTS, *, hurry: float = 1.0) -> None:
        self._scripts = dict(scripts)
        self._hurry = hurry
        self._open: set[ScriptedGeneration] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} open={len(self._open)}>"

    async def models(self) -> list[Model]:
        """See `Backend`."""
        return [
            Model(name, self.name, CONTEXT, continues=True, vision=script.sees)
            for name, script in self._scripts.items()
        ]

    def generate(self, request: Request) -> ScriptedGeneration:
        """See `Backend`."""
        return ScriptedGeneration(self._scripts.get(request.model), request, self, self._hurry)

    def release(self) -> None:
        """Close all open generations, including those whose script never closes."""
        for generation in list(self._open):
            generation.close()

    async def aclose(self) -> None:
        """See `Backend`."""
        self.release()

    def opened(self, generation: ScriptedGeneration) -> None:
        """Called when a generation opens."""
        self._open.add(generation)

    def closed(self, generation: ScriptedGeneration) -> None:
        """Called when a generation that has opened closes."""
        self._open.remove(generation)


class ScriptedGeneration:
    """The `Generation` of a script: its timed steps and the current position in them."""

    def __init__(
        self, script: Script | None, request: Request, backend: ScriptedBackend, hurry: float
    ) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.listener: Listener | None = None  # not used: a script need not be cheap
        self.request = request
        self._script = script
        self._backend = backend
        self._hurry = hurry
        self._steps = steps(script, request) if script is not None else iter(())
        self._next: Step | None = None
        self._due = 0.0  # loop time of `_next`
        self._tokens = 0
        self._failure: UpstreamError | None = None
        self.heard = 0.0
        self._aborted = False
        self._opened_at: float | None = None  # loop time
        self._closed = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None
        self._obeys: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ScriptedGeneration {self.request.model} tokens={self._tokens} aborted={self._aborted}>"

    async def read(self) -> Sequence[Piece]:
        """See `Generation`."""
        try:
            while True:
                self._check()
                if self.finish_reason is not None:
                    return []
                deltas = self._arrived()
                if deltas:
                    return deltas
                if not self.is_over:
                    await self._until(self._due)
        except BaseException:  # a cancelled read also ends the generation
            self.abort()
            raise

    def abort(self) -> None:
        """See `Generation`."""
        if self._aborted or self._turns_a_deaf_ear():
            return
        self._aborted = True
        _wake(self._waiter)
        if self._script is None or self._script.closes or self.finish_reason is not None:
            self.close()

    async def wait_closed(self) -> None:
        """See `Generation`."""
        if self._opened_at is not None:
            await self._closed.wait()

    def close(self) -> None:
        """Close the simulated connection."""
        self._aborted = True
        _wake(self._waiter)
        if self._obeys is not None:
            self._obeys.cancel()
        if self._opened_at is not None and not self._closed.is_set():
            self._closed.set()
            self._backend.closed(self)

    def _check(self) -> None:
        """Open the generation at the first call. Raises `UpstreamError` if it has failed or was aborted."""
        if self._failure is not None:
            raise self._failure
        if self._aborted and self.finish_reason is None:
            raise UpstreamTruncated("The scripted model was cut off.")
        if self._opened_at is not None:
            return
        if self._script is None:
            raise ModelMissing(f"There is no script named {self.request.model!r}.")
        self._backend.opened(self)
        self._opened_at = self._due = asyncio.get_running_loop().time()
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._steps)
        self._due += self._next.after / self._hurry

    def _arrived(self) -> Sequence[Piece]:
        """Return the pieces that are due."""
        now = asyncio.get_running_loop().time()
        gathering = DeltaBuffer()
        while self._next is not None and self._due <= now:
            step = self._next
            if step.error is not None:
                self._failure = step.error
                break
            if not step.text:
                self._finish()
                break
            self._advance()
            if step.kind == "note":
                return [*gathering.take(), Note(step.text)]
            gathering.add(step.kind, step.text)
            self._tokens += 1
        return gathering.take()

    def _finish(self) -> None:
        limit = self.request.options.max_tokens
        self.finish_reason = "length" if limit is not None and self._tokens >= limit else "stop"
        prompt = sum(len(message.content.split()) for message in self.request.messages)
        self.usage = Usage(prompt, self._tokens)
        self.close()

    @property
    def is_over(self) -> bool:
        """Whether it has ended by itself, complete or with an error."""
        return self.finish_reason is not None or self._failure is not None

    def _turns_a_deaf_ear(self) -> bool:
        """Return whether the script ignores an abort now. If so, schedule the abort for the end of `Script.deaf`."""
        if self._opened_at is None or self._script is None or self._closed.is_set():
            return False
        loop = asyncio.get_running_loop()
        hears_from = self._opened_at + self._script.deaf / self._hurry
        if loop.time() >= hears_from:
            return False
        if self._obeys is None:
            self._obeys = loop.call_at(hears_from, self.abort)
        return True

    async def _until(self, when: float) -> None:
        """Wait until a loop time or `abort`. A deaf script ignores cancellation and returns early."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_at(when, _wake, waiter) if when < math.inf else None
        try:
            await waiter
        except asyncio.CancelledError:
            if not self._turns_a_deaf_ear():
                raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
