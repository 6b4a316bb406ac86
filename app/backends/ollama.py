"""Ollama: `/api/chat` as newline-delimited JSON, models from `/api/tags`, their context from `/api/show`."""

from __future__ import annotations

import asyncio

import msgspec
from yarl import URL

from app.backends.faults import Voice
from app.backends.generation import Call, HttpGeneration, encoded
from app.backends.joint import Begun
from app.backends.ollama_answer import OllamaDecoder
from app.backends.ollama_models import Shown, read_shown, read_tags
from app.backends.upstream import Upstream, without_secrets
from app.streams.errors import UpstreamError
from app.streams.ports import ChatMessage, Model, Options, Request

DEFAULT_URL = "http://127.0.0.1:11434"
MAX_CONTEXT = 8192  # tokens. Ollama reserves memory for all of `num_ctx`, and models claim up to a million
SHOW_AT_ONCE = 4  # questions about models at a time


class OllamaBackend:
    """The `Backend` of an Ollama server."""

    name = "ollama"

    def __init__(self, url: str = DEFAULT_URL, *, max_context: int = MAX_CONTEXT) -> None:
        self._voice = Voice(f"Ollama at {without_secrets(URL(url))}")
        self._upstream = Upstream(url, self._voice)
        self._max_context = max_context
        self._shown: dict[str, Shown] = {}  # what `/api/show` said, by model and digest
        self._digests: dict[str, str] = {}  # of the models listed last

    def __repr__(self) -> str:
        return f"<OllamaBackend {self._upstream!r}>"

    @property
    def open(self) -> int:
        """How many generations are open."""
        return self._upstream.open

    async def models(self) -> list[Model]:
        """Return the models that can chat, the one used last first, as Ollama lists them. See `Backend`."""
        tags = await self._upstream.ask("api/tags", read_tags)
        self._digests = {entry.name: entry.digest for entry in tags}
        keys = {_key(entry.name, entry.digest) for entry in tags}
        self._shown = {key: shown for key, shown in self._shown.items() if key in keys}
        bound = asyncio.Semaphore(SHOW_AT_ONCE)

        async def look(name: str) -> Shown | None:
            async with bound:
                return await self._show(name)

        shown = await asyncio.gather(*(look(entry.name) for entry in tags))
        return [
            Model(
                entry.name,
                self.name,
                self._context(about),
                continues=True,
                vision=about.sees if about is not None else None,
            )
            for entry, about in zip(tags, shown, strict=True)
            if about is None or about.chats
        ]

    def generate(self, request: Request) -> HttpGeneration:
        """See `Backend`."""
        model = full_name(request.model)
        begun = Begun.of(request)  # Ollama goes on with a last message of the assistant by itself

        async def prepare() -> Call:
            context = self._context(await self._show(model))
            body = await encoded(request, lambda: _body(model, begun, request.options, context))
            return Call(self._upstream, "api/chat", body)

        return HttpGeneration(prepare, OllamaDecoder(self._voice), self._voice, begun.joint)

    async def aclose(self) -> None:
        """See `Backend`."""
        await self._upstream.aclose()

    def _context(self, shown: Shown | None) -> int | None:
        """Return the context to ask for: what the model's file sets, else what it can, up to our bound."""
        if shown is None:
            return None
        configured = shown.configured_context
        if configured is not None:
            return configured
        trained = shown.trained_context
        return min(trained, self._max_context) if trained is not None else None

    async def _show(self, model: str) -> Shown | None:
        """Return what Ollama knows about a model, `None` where it does not say."""
        key = _key(model, self._digests.get(model, ""))
        if key not in self._shown:
            try:
                shown = await self._upstream.ask(
                    "api/show", read_shown, msgspec.json.encode({"model": model})
                )
            except UpstreamError:  # the context is a help, not a need; the chat itself will say what is wrong
                return None
            self._shown[key] = shown
        return self._shown[key]


def full_name(model: str) -> str:
    """Return the name with its tag: Ollama reads `llama3.2` as `llama3.2:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


class _Settings(msgspec.Struct, omit_defaults=True):
    num_ctx: int | None = None
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None


class _Said(msgspec.Struct, omit_defaults=True):
    role: str
    content: str
    images: list[bytes] | None = None  # base64 in JSON


class _Body(msgspec.Struct):
    model: str
    messages: list[_Said]
    options: _Settings
    stream: bool = True
    truncate: bool = False  # refuse a prompt that is too long rather than quietly drop its beginning


def _body(model: str, begun: Begun, options: Options, context: int | None) -> bytes:
    settings = _Settings(
        num_ctx=context,
        num_predict=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop,
    )
    return msgspec.json.encode(_Body(model, list(map(_said, begun.messages)), settings))


def _said(message: ChatMessage) -> _Said:
    return _Said(message.role, message.content, [picture.data for picture in message.pictures] or None)


def _key(name: str, digest: str) -> str:
    return f"{name}@{digest}"
