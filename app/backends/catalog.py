"""All backends together: which models there are now, and which backend a model's name means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.streams.errors import NoModels, UnknownModel, UpstreamError, UpstreamUnreachable
from app.streams.ports import Backend, Listing, Logger, Model, Unreachable

FRESH_FOR = 10.0  # s that an answer is reused
UNKNOWN_AFTER = 1.0  # s; an older answer is not enough to call a name unknown: it may just have been pulled
ANSWER_TIMEOUT = 8.0  # s for one backend, above its own bounds


class Catalog:
    """Answers from a short memory, refreshed in one task that all who ask at once share.

    The order of `backends` is the order of preference for a prompt that names no model: what an operator
    configured on purpose before what is found by itself, so `openai`, `ollama`, `embedded`, `scripted`.
    """

    def __init__(self, backends: Sequence[Backend], *, logger: Logger, default: str | None = None) -> None:
        self._backends = {backend.name: backend for backend in backends}
        self._logger = logger
        self._default = default
        self._models: list[Model] = []  # in the catalog's order
        self._unreachable: list[Unreachable] = []
        self._asked_at: float | None = None  # loop time
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Catalog {', '.join(self._backends)} models={len(self._models)}>"

    @property
    def backends(self) -> list[Backend]:
        """All of them, in order."""
        return list(self._backends.values())

    async def listing(self, *, refresh: bool = False) -> Listing:
        """See the port `Catalog`. `refresh` asks again even if the last answer is fresh."""
        # Where there was no model at all, whoever asks waits for one.
        await self._know(0.0 if refresh or not self._models else FRESH_FOR)
        first = self._models[0].model_id if self._models else None
        return Listing(self._models, self._unreachable, default=self._default or first)

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        """Return what `model_id` means; without one the configured default, else the first model there is.

        A name whose backend does not answer just now is accepted: its stream then says what is wrong.
        Raises `UnknownModel`, or `NoModels` where no name is given and no backend has one.
        """
        wanted = model_id or self._default
        await self._know(FRESH_FOR)
        if wanted is None:
            return self._first()
        found = self._find(wanted)
        if found is None and self._age() > UNKNOWN_AFTER:
            await self._know(UNKNOWN_AFTER)
            found = self._find(wanted)
        if found is None:
            known = [model.model_id for model in self._models]
            raise UnknownModel(f"There is no model called {wanted!r}.", known)
        return found

    async def aclose(self) -> None:
        """Close all backends. Idempotent."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        results = await asyncio.gather(
            *(backend.aclose() for backend in self._backends.values()), return_exceptions=True
        )
        for backend, result in zip(self._backends, results, strict=True):
            if isinstance(result, Exception):
                self._logger.error("backend_close_failed", backend=backend, error=repr(result))

    def _first(self) -> tuple[Backend, Model]:
        if not self._models:
            reasons = " ".join(silent.message for silent in self._unreachable)
            raise NoModels(f"No model is available. {reasons}".strip())
        model = self._models[0]
        return self._backends[model.backend], model

    def _find(self, wanted: str) -> tuple[Backend, Model] | None:
        prefix, _, name = wanted.partition("/")  # the first slash only: `openai/org/model`
        backend = self._backends.get(prefix)
        if backend is None or not name:
            return None
        for model in self._models:
            # Ollama's own rule: a name without a tag means the tag `latest`
            if model.backend == prefix and model.name in (name, f"{name}:latest"):
                return backend, model
        if any(silent.backend == prefix for silent in self._unreachable):
            # It is not known what it can do. If it cannot do what is asked of it, its stream says that, too.
            return backend, Model(name, prefix, continues=True)
        return None

    def _age(self) -> float:
        if self._asked_at is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._asked_at

    async def _know(self, max_age: float) -> None:
        """Return once what is known is no older than `max_age` seconds."""
        if self._asking is None:
            if self._closed or self._age() <= max_age:
                return
            self._asking = asyncio.create_task(self._ask(), name="catalog")
            self._asking.add_done_callback(self._asked)
        await asyncio.wait({self._asking})  # whoever is cancelled here leaves the answer to the others

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if not asking.cancelled() and (error := asking.exception()) is not None:
            self._logger.error("catalog_failed", error=repr(error))

    async def _ask(self) -> None:
        answers = await asyncio.gather(*(self._ask_one(backend) for backend in self._backends.values()))
        self._models = [model for answer in answers if isinstance(answer, list) for model in answer]
        self._unreachable = [answer for answer in answers if isinstance(answer, Unreachable)]
        self._asked_at = asyncio.get_running_loop().time()

    async def _ask_one(self, backend: Backend) -> list[Model] | Unreachable:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await backend.models()
        except UpstreamError as error:
            return Unreachable(backend.name, error.code, str(error))
        except TimeoutError:
            return Unreachable(
                backend.name, UpstreamUnreachable.code, f"{backend.name} does not answer in time."
            )
