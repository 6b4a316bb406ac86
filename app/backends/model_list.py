"""The last known model list of one backend, and the task that refreshes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamUnauthorized, UpstreamUnreachable
from app.chat.ports import Backend, DetailedBackend, Logger, Model, Unreachable

ANSWER_TIMEOUT = 8.0  # s for a backend's model list, longer than the backend's own bounds
CLOSE_TIMEOUT = 1.0  # s that a cancelled request may take to end


class ModelList:
    """The models of one backend, independent of all other backends.

    `named` are models that the operator configured: they can be used even if the server does not list them. `context`
    is the context in tokens of models whose own context is unknown.
    """

    def __init__(
        self, backend: Backend, *, logger: Logger, named: Sequence[str] = (), context: int | None = None
    ) -> None:
        self.backend = backend
        # Checked once: isinstance with a protocol is slow.
        self.detailed = backend if isinstance(backend, DetailedBackend) else None
        self.failure: Unreachable | None = None  # why the last request failed
        self.question: asyncio.Task[None] | None = None  # the request in progress
        self.first_asked: float | None = None  # loop time
        self._logger = logger.bind(backend=backend.name)
        self._named = tuple(named)
        self._context = context
        self._told: list[Model] = []
        self._answered_at: float | None = None  # loop time
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "asking" if self.question else "known" if self.is_known else "unknown"
        return f"<ModelList {self.backend.name} {state} models={len(self._told)}>"

    @property
    def is_known(self) -> bool:
        """Whether a request for the list has succeeded or failed at least once."""
        return self._answered_at is not None

    @property
    def age(self) -> float:
        """Seconds since the last answer or failure; infinite before the first."""
        if self._answered_at is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._answered_at

    @property
    def models(self) -> list[Model]:
        """The models of the last list, with the details known by now."""
        if self.detailed is not None and self.failure is None and self._told:
            return self._with_named(self.detailed.listed())
        return self._told

    @property
    def unreachable(self) -> Unreachable | None:
        """Why the backend offers no models; `None` if it offers some or its list is empty."""
        if self._told:
            return None
        if self.is_known:
            return self.failure
        name = self.backend.name
        return Unreachable(name, UpstreamUnreachable.code, f"{name} has not answered yet.")

    def find(self, name: str) -> Model | None:
        """Return a model by its name in the backend, `None` if it is not listed.

        As in Ollama, a name without a tag means the tag `latest`.
        """
        return next((model for model in self.models if model.name in (name, f"{name}:latest")), None)

    def unlisted(self, name: str, *, continues: bool = False) -> Model:
        """Return a model that is not in the list."""
        return Model(name, self.backend.name, self._context, continues=continues)

    def refresh(self, max_age: float) -> None:
        """Request the list again unless it is at most `max_age` seconds old or a request is in progress."""
        if self._closed or self.question is not None or self.age <= max_age:
            return
        loop = asyncio.get_running_loop()
        if self.first_asked is None:
            self.first_asked = loop.time()
        self.question = question = asyncio.create_task(self._ask(), name=f"catalog {self.backend.name}")
        self._watch = loop.call_later(ANSWER_TIMEOUT, self._give_up, question)
        question.add_done_callback(self._asked)

    async def wait(self, timeout: float) -> None:
        """Wait for the request in progress, `timeout` seconds at most.

        A cancelled waiter does not cancel the shared request.
        """
        if self.question is not None:
            await asyncio.wait({self.question}, timeout=timeout)

    async def aclose(self) -> None:
        """Cancel the request in progress. Bounded, idempotent."""
        self._closed = True
        if (question := self.question) is not None:
            question.cancel()
            await asyncio.wait({question}, timeout=CLOSE_TIMEOUT)

    async def _ask(self) -> None:
        backend = self.backend
        try:
            told = await backend.models()
        except UpstreamError as error:
            self._fail(Unreachable(backend.name, error.code, str(error)), error)
        except Exception as error:
            # A bug, or unexpected input. It must not affect the models of other backends.
            self._logger.error("catalog_failed", exc_info=error)
            sentence = f"The model list of {backend.name} is unreadable."
            self._fail(Unreachable(backend.name, UpstreamGarbled.code, sentence), error)
        else:
            self._know(self._with_named(told), None)

    def _with_named(self, told: list[Model]) -> list[Model]:
        listed = {model.name for model in told}
        missing = [name for name in self._named if name not in listed]
        return [*told, *map(self.unlisted, missing)] if missing else told

    def _fail(self, failure: Unreachable, error: Exception) -> None:
        # A server without a list can still serve the models that the operator configured. One that is down cannot.
        is_away = isinstance(error, (UpstreamUnreachable, UpstreamUnauthorized))
        self._know([] if is_away else self._with_named([]), failure)

    def _know(self, models: list[Model], failure: Unreachable | None) -> None:
        if failure != self.failure:
            if failure is not None:
                self._logger.info("backend_unreachable", reason=failure.message)
            else:
                self._logger.info("backend_available", models=len(models))
        self._told, self.failure = models, failure
        self._answered_at = asyncio.get_running_loop().time()

    def _give_up(self, question: asyncio.Task[None]) -> None:
        # Not asyncio.timeout: the list must become free at once, even if the request does not end on cancellation.
        if self.question is not question:
            return
        self.question = None
        error = UpstreamUnreachable(f"{self.backend.name} didn't respond in time.")
        self._fail(Unreachable(self.backend.name, error.code, str(error)), error)
        question.cancel()

    def _asked(self, question: asyncio.Task[None]) -> None:
        if self.question is question:
            self.question = None
            if self._watch is not None:
                self._watch.cancel()
        if not question.cancelled() and (error := question.exception()) is not None:
            self._logger.error("catalog_failed", exc_info=error)
