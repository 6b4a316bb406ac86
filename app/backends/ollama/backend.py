"""Ollama: `/api/chat` as newline-delimited JSON, models from `/api/tags`, their details from `/api/show`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import msgspec
from yarl import URL

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.calls import Call
from app.backends.http.client import UpstreamClient, hidden, without_secrets
from app.backends.http.continuation import Begun
from app.backends.http.generation import HttpGeneration
from app.backends.ollama.attempt import OllamaAttempt, OllamaServer
from app.backends.ollama.decoder import OllamaDecoder
from app.backends.ollama.model_details import Details
from app.backends.ollama.models import Shown, Tag, full_name, read_shown, read_tags
from app.chat.ports import Logger, Model, Request

DEFAULT_URL = "http://127.0.0.1:11434"
MAX_CONTEXT = 8192  # tokens. Ollama allocates memory for all of `num_ctx`, and models declare up to a million
_PASTED = (
    "/api/chat",
    "/api/generate",
    "/api/tags",
    "/api/show",
    "/api",
    "/v1",
)  # endings of URLs as documentation shows them
DETAILS_WAIT = 0.25  # s that a list waits for the details of its models; enough for a few models


class OllamaBackend:
    """The `Backend` of an Ollama server. `name` is the prefix of its models."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        name: str = "ollama",
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        max_context: int = MAX_CONTEXT,
        logger: Logger | None = None,
    ) -> None:
        self.name = name
        url = _base(url)
        self._voice = ErrorMapper(
            f"Ollama at {without_secrets(URL(url))}", secrets=hidden(url, api_key, headers)
        )
        self._upstream = UpstreamClient(url, self._voice, api_key=api_key, headers=headers)
        self._server = OllamaServer(name, self._upstream, self._voice, {}, logger)
        self._max_context = max_context
        self._details = Details(self._ask_about)
        self._tags: list[Tag] = []  # of the last list

    def __repr__(self) -> str:
        return f"<OllamaBackend {self._upstream!r}>"

    @property
    def open(self) -> int:
        """Number of open generations."""
        return self._upstream.open

    async def models(self) -> list[Model]:
        """Return the models in Ollama's order, most recently modified first. See `Backend`.

        Details that arrive later than `DETAILS_WAIT` are in `listed`.
        """
        self._tags = await self._upstream.ask("api/tags", read_tags)
        await self._details.look(self._tags, DETAILS_WAIT)
        return self.listed()

    def listed(self) -> list[Model]:
        """See `DetailedBackend`. Models that are known not to support chat are omitted."""
        about = [(tag.name, self._details.known(tag.name)) for tag in self._tags]
        return [self._model(name, shown) for name, shown in about if shown is None or shown.chats]

    async def describe(self, model: Model, wait: float) -> Model:
        """See `DetailedBackend`."""
        shown = await self._details.get(full_name(model.name), wait)
        return model if shown is None else self._model(model.name, shown)

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""
        model = full_name(request.model)
        begun = Begun.of(request)  # Ollama continues a final assistant message without an option

        async def prepare() -> Call:
            context = self._context(await self._details.get(model))
            return await OllamaAttempt(self._server, request, begun, context).call()

        decoder = partial(OllamaDecoder, self._voice, begins=begun.joint is None)
        return HttpGeneration(prepare, decoder, self._voice, begun.joint)

    async def aclose(self) -> None:
        """See `Backend`."""
        try:
            await self._details.aclose()
        finally:  # even if the caller is cancelled
            await self._upstream.aclose()

    def _model(self, name: str, shown: Shown | None) -> Model:
        sees = shown.sees if shown is not None else None
        return Model(name, self.name, self._context(shown), continues=True, vision=sees)

    def _context(self, shown: Shown | None) -> int | None:
        """Return the `num_ctx` to request: that of the modelfile, else the trained context up to `max_context`."""
        if shown is None:
            return None
        configured = shown.configured_context
        if configured is not None:
            return configured
        trained = shown.trained_context
        return min(trained, self._max_context) if trained is not None else None

    async def _ask_about(self, model: str) -> Shown:
        """Return the details of a model. Raises `UpstreamError`."""
        return await self._upstream.ask("api/show", read_shown, msgspec.json.encode({"model": model}))


def _base(url: str) -> str:
    """Return a URL without white space around it and without a pasted API path."""
    url = url.strip().rstrip("/")
    return url.removesuffix(next(filter(url.endswith, _PASTED), ""))
