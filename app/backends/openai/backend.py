"""OpenAI-compatible servers (vLLM, llama.cpp, LM Studio, hosted ones): `/v1/chat/completions` as SSE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from app.backends.http.address import Address
from app.backends.http.attempt import Attempt, Call, Server
from app.backends.http.backend import HttpBackend
from app.backends.http.continuation import Begun
from app.backends.http.generation import HttpGeneration
from app.backends.openai.decoder import OpenAIDecoder
from app.backends.openai.models import ListedModel, read_models
from app.backends.openai.request_body import LLAMA_CPP, VLLM, chat_body
from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamRejected, UpstreamUnauthorized
from app.chat.ports import Logger, Model, Request

CHAT = "chat/completions"
MODELS = "models"
PASTED = (CHAT, "completions", MODELS)
PREFIXES = ("v1/", "")
EXTRAS = ("stream_options", "include_usage")
CONTINUING = (LLAMA_CPP, VLLM)


class OpenAIBackend(HttpBackend):
    """The `Backend` of a server with OpenAI's chat completions API.

    `context` is the context in tokens of models for which the server reports none.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "openai",
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        context: int | None = None,
        logger: Logger | None = None,
    ) -> None:
        address = Address(url, pasted=PASTED, prefixes=PREFIXES)
        super().__init__("The model server", address, name=name, api_key=api_key, headers=headers)
        self._server = Server(
            name, self._upstream, address, CHAT, extras=EXTRAS, renames_max_tokens=True, logger=logger
        )
        self._context = context
        self._owners: dict[str, str] = {}  # `owned_by`, by model of the last list

    async def models(self) -> list[Model]:
        """See `Backend`."""
        listed = await self._listed()
        self._owners = {entry.name: entry.owner for entry in listed}
        return [
            Model(entry.name, self.name, entry.context or self._context, continues=entry.owner in CONTINUING)
            for entry in listed
        ]

    async def _listed(self) -> list[ListedModel]:
        """Request the list at each possible address. Raises the error of the likeliest one."""
        failure: UpstreamError | None = None
        for prefix in self._address.prefixes:
            try:
                listed = await self._upstream.ask(
                    prefix + MODELS, partial(read_models, secrets=self._voice.spoken)
                )
            except UpstreamUnauthorized:
                raise
            except (UpstreamRejected, UpstreamGarbled) as error:
                failure = failure or error
                self._address.missed(prefix)
            else:
                self._address.found(prefix)
                return listed
        raise failure or self._voice.garbled()

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""

        async def prepare(begun: Begun) -> Call:
            owner = await self._continuing(request.model) if begun.continues else None
            encode = partial(chat_body, request, begun, owner=owner)
            return Attempt(self._server, request, begun.messages, encode).call()

        return HttpGeneration(request, prepare, partial(OpenAIDecoder, room=self._room), self._voice)

    async def _continuing(self, model: str) -> str:
        """Return the `owned_by` of a server that can continue answers. Raises `UpstreamRejected` if it cannot."""
        if model not in self._owners:
            await self.models()
        owner = self._owners.get(model, "")
        if owner not in CONTINUING:
            raise UpstreamRejected(f"{self._voice.label} can't continue an answer. Regenerate it instead.")
        return owner
