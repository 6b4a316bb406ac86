"""OpenAI-compatible servers (vLLM, llama.cpp, LM Studio, hosted ones): `/v1/chat/completions` as SSE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.calls import Call
from app.backends.http.client import UpstreamClient, hidden, without_secrets
from app.backends.http.continuation import Begun
from app.backends.http.generation import HttpGeneration
from app.backends.openai.adaptation import RefusedOptions
from app.backends.openai.address import MODELS, Address
from app.backends.openai.attempt import Attempt, Server
from app.backends.openai.decoder import OpenAIDecoder
from app.backends.openai.models import ListedModel, read_models
from app.backends.openai.request_body import LLAMA_CPP, VLLM
from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamRejected, UpstreamUnauthorized
from app.chat.ports import Logger, Model, Request

CONTINUING = (LLAMA_CPP, VLLM)


class OpenAIBackend:
    """The `Backend` of a server with OpenAI's chat completions API.

    `name` is the prefix of its models. `context` is the context in tokens of models for which the server reports none.
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
        self.name = name
        self._address = Address(url)
        base = self._address.base
        label = f"The model server at {without_secrets(base)}"
        self._voice = ErrorMapper(label, secrets=hidden(base, api_key, headers))
        self._upstream = UpstreamClient(base, self._voice, api_key=api_key, headers=headers)
        self._context = context
        self._server = Server(name, self._address, self._upstream, self._voice, RefusedOptions(), logger)
        self._owners: dict[str, str] = {}  # `owned_by`, by model of the last list

    def __repr__(self) -> str:
        return f"<OpenAIBackend {self.name} {self._upstream!r}>"

    @property
    def open(self) -> int:
        """Number of open generations."""
        return self._upstream.open

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
                listed = await self._upstream.ask(prefix + MODELS, read_models)
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
        begun = Begun.of(request)

        async def prepare() -> Call:
            owner = await self._continuing(request.model) if begun.continues else None
            return await Attempt(self._server, request, begun, owner).call()

        decoder = partial(OpenAIDecoder, self._voice, begins=begun.joint is None)
        return HttpGeneration(prepare, decoder, self._voice, begun.joint)

    async def _continuing(self, model: str) -> str:
        """Return the `owned_by` of a server that can continue answers. Raises `UpstreamRejected` if it cannot."""
        if model not in self._owners:
            await self.models()
        owner = self._owners.get(model, "")
        if owner not in CONTINUING:
            raise UpstreamRejected(f"{self._voice.label} can't continue an answer. Regenerate it instead.")
        return owner

    async def aclose(self) -> None:
        """See `Backend`."""
        await self._upstream.aclose()
