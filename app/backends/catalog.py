"""The models of all backends, and the lookup of a model and its backend by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from app.backends.model_list import ModelList
from app.backends.similar_names import similar_names
from app.chat.errors import NoModels, UnknownModel
from app.chat.ports import (
    Backend,
    BackendHealth,
    Logger,
    Model,
    ModelListing,
    RemoteBackend,
    Unreachable,
)

FRESH_FOR = 10.0  # s that a model list is reused
UNKNOWN_AFTER = 1.0  # s; with an older list a name is not reported as unknown: it may just have been pulled
SETTLE = 0.5  # s to wait for the first list of each backend before the listing is shown without it
FIRST_WAIT = 2.0  # s to wait for a first model while no backend has one and some have not answered
OWN_WAIT = 2.0  # s that a prompt waits for the model list, or the model details, of its own backend
CLOSE_TIMEOUT = 10.0  # s that a cancelled caller still waits for the backends to close
LONGEST_ID = 300  # characters of a model's name with its prefix; it is stored with each answer
REFRESH_WAIT = 2.0  # s to wait for all backends when a refresh is requested


class Catalog:
    """Answers from cached lists. Each backend has its own list, age and request, so none waits for another.

    The order of `backends` is the order of preference for a prompt that names no model: explicitly configured
    backends come before those found automatically, so `openai`, `ollama`, `agent`, `embedded`, `scripted`.
    `named` holds, for each backend, models that can be used even if its server does not list them. `contexts` holds,
    for each backend, the context in tokens of models whose own context is unknown.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        logger: Logger,
        default: str | None = None,
        named: Mapping[str, Sequence[str]] = MappingProxyType({}),
        contexts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._lists = {
            backend.name: ModelList(
                backend, logger=logger, named=named.get(backend.name, ()), context=contexts.get(backend.name)
            )
            for backend in backends
        }
        self._logger = logger
        self._default = default
        if default is not None and default.partition("/")[0] not in self._lists:
            logger.warning("default_model_unknown", model=default, prefixes=", ".join(self._lists))
        self._origins = {each.name: each.origin for each in backends if isinstance(each, RemoteBackend)}
        self._joined: list[Model] = []  # in the catalog's order

    def __repr__(self) -> str:
        return f"<Catalog {', '.join(map(repr, self._lists.values()))}>"

    @property
    def backends(self) -> list[Backend]:
        """All backends, in order of preference."""
        return [known.backend for known in self._lists.values()]

    def start(self) -> None:
        """Request the lists of all backends without waiting, so that they are ready for the first page."""
        self._refresh(FRESH_FOR)

    async def listing(self, *, refresh: bool = False) -> ModelListing:
        """See the port `Catalog`. `refresh` requests all lists again even if they are fresh."""
        if refresh:
            self._refresh(0.0)
            await _wait([known.question for known in self._lists.values()], REFRESH_WAIT)
        else:
            await self._something()
        models = self._models()
        first = models[0].model_id if models else None
        return ModelListing(
            models,
            self._unreachable(),
            default=self._default or first,
            backends=tuple(self._lists),
            origins=self._origins,
        )

    def health(self) -> list[BackendHealth]:
        """See the port `Catalog`."""
        self._refresh(FRESH_FOR)
        return [
            BackendHealth(name, len(known.models), known.failure, known.age if known.is_known else None)
            for name, known in self._lists.items()
        ]

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        """Return the backend and the model of `model_id`; without one, of the configured default or the first model.

        Only the backend that the name's prefix selects is asked. A name whose backend does not respond is accepted:
        its stream then reports the error. Raises `UnknownModel`, or `NoModels` if no name is given and no backend
        has a model.
        """
        wanted = model_id or self._default
        if wanted is None:
            return await self._first()
        if len(wanted) > LONGEST_ID:
            raise await self._unknown(wanted)
        prefix, _, name = wanted.partition("/")  # the first slash only: `openai/org/model`
        known = self._lists.get(prefix)
        model = await self._find(known, name) if known is not None and name else None
        if known is None or model is None:
            raise await self._unknown(wanted)
        return known.backend, await _detailed(known, model)

    async def aclose(self) -> None:
        """Close all backends, even if the caller is cancelled. Bounded, idempotent."""
        closing = asyncio.create_task(self._close(), name="catalog close")
        try:
            await asyncio.wait({closing})
        finally:
            if not closing.done():
                await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)

    async def _close(self) -> None:
        await asyncio.gather(*(known.aclose() for known in self._lists.values()))
        results = await asyncio.gather(
            *(known.backend.aclose() for known in self._lists.values()), return_exceptions=True
        )
        for name, result in zip(self._lists, results, strict=True):
            if isinstance(result, Exception):
                self._logger.error("backend_close_failed", backend=name, error=repr(result))

    async def _first(self) -> tuple[Backend, Model]:
        await self._something()
        for known in self._lists.values():
            for model in known.models:
                return known.backend, await _detailed(known, model)
        reasons = " ".join(silent.message for silent in self._unreachable())
        raise NoModels(f"No models available. {reasons}".strip())

    async def _find(self, known: ModelList, name: str) -> Model | None:
        known.refresh(FRESH_FOR)
        if not known.is_known:
            await known.wait(OWN_WAIT)
        found = known.find(name)
        if found is None and known.is_known and known.age > UNKNOWN_AFTER:
            known.refresh(UNKNOWN_AFTER)
            await known.wait(OWN_WAIT)
            found = known.find(name)
        if found is None and (known.failure is not None or not known.is_known):
            # Its capabilities are unknown. If it cannot do what is requested, its stream reports that.
            return known.unlisted(name, continues=True)
        return found

    async def _unknown(self, wanted: str) -> UnknownModel:
        await self._something()
        near = similar_names(wanted, [model.model_id for model in self._models()])
        hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        return UnknownModel(f"There is no model named {wanted[:200]!r}.{hint}", near)

    def _models(self) -> list[Model]:
        """Return the models of all backends: the same list object as long as nothing has changed."""
        models = [model for known in self._lists.values() for model in known.models]
        if models != self._joined:
            self._joined = models
        return self._joined

    def _unreachable(self) -> list[Unreachable]:
        return [silent for known in self._lists.values() if (silent := known.unreachable) is not None]

    def _refresh(self, max_age: float) -> None:
        for known in self._lists.values():
            known.refresh(max_age)

    async def _something(self) -> None:
        """Refresh in the background. Wait, bounded, for backends that never answered; longest without any model."""
        self._refresh(FRESH_FOR)
        loop = asyncio.get_running_loop()
        if not any(known.models for known in self._lists.values()):
            self._refresh(0.0)
            is_new = not all(known.is_known for known in self._lists.values())
            await self._any_model(loop.time() + (FIRST_WAIT if is_new else SETTLE))
        new = [known for known in self._lists.values() if not known.is_known]
        ends = [known.first_asked + SETTLE for known in new if known.first_asked is not None]
        if ends:
            await _wait([known.question for known in new], max(ends) - loop.time())

    async def _any_model(self, until: float) -> None:
        """Return when a backend has a model, when all have answered, or at loop time `until`."""
        loop = asyncio.get_running_loop()
        while not any(known.models for known in self._lists.values()):
            asking = [known.question for known in self._lists.values()]
            if not any(asking) or loop.time() >= until:
                return
            await _wait(asking, until - loop.time(), asyncio.FIRST_COMPLETED)


async def _wait(
    questions: Sequence[asyncio.Task[None] | None], seconds: float, return_when: str = asyncio.ALL_COMPLETED
) -> None:
    tasks = {question for question in questions if question is not None}
    if tasks and seconds > 0:
        await asyncio.wait(tasks, timeout=seconds, return_when=return_when)


async def _detailed(known: ModelList, model: Model) -> Model:
    """Return the model with its details if the backend gives them within `OWN_WAIT`."""
    return model if known.detailed is None else await known.detailed.describe(model, OWN_WAIT)
