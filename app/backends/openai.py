"""OpenAI-compatible servers (vLLM, llama.cpp, LM Studio, hosted ones): `/v1/chat/completions` as SSE."""

from __future__ import annotations

import re

from yarl import URL

from app.backends.faults import Voice
from app.backends.generation import Call, HttpGeneration, encoded
from app.backends.joint import Begun
from app.backends.openai_answer import OpenAIDecoder
from app.backends.openai_body import LLAMA_CPP, VLLM, chat_body
from app.backends.openai_models import read_models
from app.backends.upstream import Upstream, without_secrets
from app.streams.errors import UpstreamRejected
from app.streams.ports import Model, Request

PATH = "chat/completions"
CONTINUING = (LLAMA_CPP, VLLM)


class OpenAIBackend:
    """The `Backend` of a server that speaks OpenAI's chat completions."""

    name = "openai"

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        base = base_url(url)
        self._voice = Voice(f"The model server at {without_secrets(URL(base))}", secret=api_key)
        self._upstream = Upstream(base, self._voice, api_key=api_key)
        self._owners: dict[str, str] = {}  # of the models listed last

    def __repr__(self) -> str:
        return f"<OpenAIBackend {self._upstream!r}>"

    @property
    def open(self) -> int:
        """How many generations are open."""
        return self._upstream.open

    async def models(self) -> list[Model]:
        """See `Backend`."""
        listed = await self._upstream.ask("models", read_models)
        self._owners = {entry.name: entry.owner for entry in listed}
        return [
            Model(entry.name, self.name, entry.context, continues=entry.owner in CONTINUING)
            for entry in listed
        ]

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""
        begun = Begun.of(request)

        async def prepare() -> Call:
            owner = await self._continuing(request.model) if begun.continues else None
            body = await encoded(request, lambda: chat_body(request, begun, owner=owner))
            return Call(self._upstream, PATH, body)

        return HttpGeneration(prepare, OpenAIDecoder(self._voice), self._voice, begun.joint)

    async def _continuing(self, model: str) -> str:
        """Return whose server it is that goes on with an answer. Raises `UpstreamRejected` if it would begin anew."""
        if model not in self._owners:
            await self.models()
        owner = self._owners.get(model, "")
        if owner not in CONTINUING:
            raise UpstreamRejected(f"{self._voice.label} cannot go on with an answer. Regenerate it instead.")
        return owner

    async def aclose(self) -> None:
        """See `Backend`."""
        await self._upstream.aclose()


def base_url(url: str) -> str:
    """Return the address that the API's paths are relative to: `/v1` is added where no version is given."""
    trimmed = url.rstrip("/")
    # Not only a last part: there are servers with /v1beta/openai.
    return trimmed if re.search(r"/v\d[^/]*(/|$)", URL(trimmed).path) else f"{trimmed}/v1"
