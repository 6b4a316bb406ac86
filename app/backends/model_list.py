"""The models of one backend as it told them last, and the one task that asks it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamUnauthorized, UpstreamUnreachable
from app.chat.ports import Backend, DetailedBackend, Logger, Model, Unreachable

ANSWER_TIMEOUT = 8.0  # s for one backend, above its own bounds
CLOSE_TIMEOUT = 1.0  # s that a cancelled question may take to end


class ModelList:
    """What is known of one backend. It knows nothing of the others, so it can wait for none of them.

    `named` are models that the operator has named: they can be used even if the server does not list them. `context`
    (tokens) is that of models of which nothing else is known.
    """

    def __init__(
        self, backend: Backend, *, logger: Logger, named: Sequence[str] = (), context: int | None = None
    ) -> None:
        self.backend = backend
        # Asked once: isinstance with a protocol is slow.
        self.detailed = backend if isinstance(backend, DetailedBackend) else None
        self.failure: Unreachable | None = None  # why the last question had no answer
        self.question: asyncio.Task[None] | None = None  # that is under way
        self.first_asked: float | None = None  # loop time
        self._logger = logger
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
        """Whether the backend has answered, or failed to, at least once."""
        return self._answered_at is not None

    @property
    def age(self) -> float:
        """Seconds since the last answer; infinite before the first."""
        if self._answered_at is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._answered_at

    @property
    def models(self) -> list[Model]:
        """The models of the last answer, with the details that are known by now."""
        if self.detailed is not None and self.failure is None and self._told:
            return self._with_named(self.detailed.listed())
        return self._told

    @property
    def unreachable(self) -> Unreachable | None:
        """Why the backend offers nothing, `None` if it offers something or has nothing to offer."""
        if self._told:
            return None
        if self.is_known:
            return self.failure
        name = self.backend.name
        return Unreachable(name, UpstreamUnreachable.code, f"{name} has not answered yet.")

    def find(self, name: str) -> Model | None:
        """Return a model by its name in the backend.

        By Ollama's own rule a name without a tag means the tag `latest`.
        """
        return next((model for model in self.models if model.name in (name, f"{name}:latest")), None)

    def unlisted(self, name: str, *, continues: bool = False) -> Model:
        """Return a model of which the list says nothing."""
        return Model(name, self.backend.name, self._context, continues=continues)

    def refresh(self, max_age: float) -> None:
        """Ask again, unless the last answer is at most `max_age` seconds old or a question is under way."""
        if self._closed or self.question is not None or self.age <= max_age:
            return
        loop = asyncio.get_running_loop()
        if self.first_asked is None:
            self.first_asked = loop.time()
        self.question = question = asyncio.create_task(self._ask(), name=f"catalog {self.backend.name}")
        self._watch = loop.call_later(ANSWER_TIMEOUT, self._give_up, question)
        question.add_done_callback(self._asked)

    async def wait(self, timeout: float) -> None:
        """Return once the question under way is answered, or after `timeout` seconds.

        A caller that is cancelled here leaves the question to the others.
        """
        if self.question is not None:
            await asyncio.wait({self.question}, timeout=timeout)

    async def aclose(self) -> None:
        """Give up the question under way. Bounded, idempotent."""
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
            # A fault of ours, or an input that nobody thought of. It must not cost the other backends their models.
            self._logger.error("catalog_failed", backend=backend.name, exc_info=error)
            sentence = f"The model list of {backend.name} is unreadable."
            self._fail(Unreachable(backend.name, UpstreamGarbled.code, sentence), error)
        else:
            self._know(self._with_named(told), None)

    def _with_named(self, told: list[Model]) -> list[Model]:
        listed = {model.name for model in told}
        missing = [name for name in self._named if name not in listed]
        return [*told, *map(self.unlisted, missing)] if missing else told

    def _fail(self, failure: Unreachable, error: Exception) -> None:
        # A server without a list can still have the models that its operator named. One that is down has none now.
        is_away = isinstance(error, (UpstreamUnreachable, UpstreamUnauthorized))
        self._know([] if is_away else self._with_named([]), failure)

    def _know(self, models: list[Model], failure: Unreachable | None) -> None:
        if failure != self.failure:
            name = self.backend.name
            if failure is not None:
                self._logger.info("backend_unreachable", backend=name, reason=failure.message)
            else:
                self._logger.info("backend_available", backend=name, models=len(models))
        self._told, self.failure = models, failure
        self._answered_at = asyncio.get_running_loop().time()

    def _give_up(self, question: asyncio.Task[None]) -> None:
        # Not asyncio.timeout: what counts is that the list is free again, whatever the question makes of its end.
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
            self._logger.error("catalog_failed", backend=self.backend.name, exc_info=error)
