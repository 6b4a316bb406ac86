"""Ollama: `/api/chat` as newline-delimited JSON, models from `/api/tags`, their details from `/api/show`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from app.backends.http.address import Address
from app.backends.http.attempt import Attempt, Call, Form, Server
from app.backends.http.backend import HttpBackend
from app.backends.http.continuation import Begun
from app.backends.http.generation import HttpGeneration
from app.backends.ollama.decoder import OllamaDecoder
from app.backends.ollama.model_details import Details
from app.backends.ollama.models import MAX_SHOWN, Shown, Tag, full_name, read_shown, read_tags
from app.backends.ollama.request_body import chat_body
from app.chat.ports import Logger, Model, Request

DEFAULT_URL = "http://127.0.0.1:11434"
MAX_CONTEXT = 8192  # tokens. Ollama allocates memory for all of `num_ctx`, and models declare up to a million
PASTED = ("api/chat", "api/generate", "api/tags", "api/show", "api", "v1")
DETAILS_WAIT = 0.25  # s that a list waits for the details of its models; enough for a few models


class OllamaBackend(HttpBackend):
    """The `Backend` of an Ollama server. `context` bounds the context of a model in tokens."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        name: str = "ollama",
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        context: int | None = None,
        logger: Logger | None = None,
    ) -> None:
        address = Address(url, pasted=PASTED)
        super().__init__("Ollama", address, name=name, api_key=api_key, headers=headers)
        self._server = Server(name, self._upstream, address, "api/chat", extras=("truncate",), logger=logger)
        self._max_context = context or MAX_CONTEXT
        self._details = Details(self._ask_about)
        self._tags: list[Tag] = []  # of the last list
        self._listed: list[Model] = []  # with the details known at `_listed_at`
        self._listed_at: tuple[object, int] | None = None

    async def models(self) -> list[Model]:
        """Return the models in Ollama's order, most recently modified first. See `Backend`.

        Details that arrive later than `DETAILS_WAIT` are in `listed`.
        """
        self._tags = await self._upstream.ask("api/tags", partial(read_tags, secrets=self._voice.spoken))
        await self._details.look(self._tags, DETAILS_WAIT)
        return self.listed()

    def listed(self) -> list[Model]:
        """See `DetailedBackend`. Models that are known not to support chat are omitted."""
        now = (self._tags, self._details.changes)
        if self._listed_at != now:  # asked for several times for each page
            about = [(tag.name, self._details.known(tag.name)) for tag in self._tags]
            self._listed = [self._model(name, shown) for name, shown in about if shown is None or shown.chats]
            self._listed_at = now
        return self._listed

    async def describe(self, model: Model, wait: float) -> Model:
        """See `DetailedBackend`."""
        known = await self._details.get(full_name(model.name), wait)
        return model if known is None else self._model(model.name, known)

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""
        model = full_name(request.model)

        async def prepare(begun: Begun) -> Call:
            context = self._context(await self._details.get(model))

            def encode(form: Form) -> bytes:
                return chat_body(model, begun, request.options, context, form)

            # Ollama continues a final assistant message without an option.
            return Attempt(self._server, request, begun.messages, encode).call()

        return HttpGeneration(request, prepare, partial(OllamaDecoder, room=self._room), self._voice)

    async def aclose(self) -> None:
        """See `Backend`."""
        try:
            await self._details.aclose()
        finally:  # even if the caller is cancelled
            await super().aclose()

    def _model(self, name: str, shown: Shown | None) -> Model:
        sees = shown.sees if shown is not None else None
        return Model(name, self.name, self._context(shown), continues=True, vision=sees)

    def _context(self, shown: Shown | None) -> int | None:
        """Return the `num_ctx` to request: that of the modelfile, else the trained context up to its bound."""
        if shown is None:
            return None
        configured = shown.configured_context
        if configured is not None:
            return configured
        trained = shown.trained_context
        return min(trained, self._max_context) if trained is not None else None

    async def _ask_about(self, model: str) -> Shown:
        """Return the details of a model. Raises `UpstreamError`."""
        body = msgspec.json.encode({"model": model})
        return await self._upstream.ask("api/show", read_shown, body, most=MAX_SHOWN)
