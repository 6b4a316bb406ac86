"""OpenAI-compatible servers (vLLM, llama.cpp, LM Studio, hosted ones): `/v1/chat/completions` as SSE."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
from yarl import URL

from app.backends.decoding import Gathering
from app.backends.faults import Voice
from app.backends.generation import Call, HttpGeneration, encoded
from app.backends.joint import Begun
from app.backends.lines import EventSplitter
from app.backends.upstream import Upstream, without_secrets
from app.streams.errors import UpstreamRejected
from app.streams.ports import ChatMessage, Model, Request, Usage

PATH = "chat/completions"
# Whose servers go on with a last message of the assistant, by `owned_by` in their lists of models. Others answer anew.
LLAMA_CPP, VLLM = "llamacpp", "vllm"
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
        listed = await self._upstream.ask("models", _Listed)
        self._owners = {entry.id: entry.owned_by for entry in listed.data}
        return [
            Model(entry.id, self.name, entry.context, continues=entry.owned_by in CONTINUING)
            for entry in listed.data
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


class OpenAIDecoder(Gathering):
    """Reads the events of `/v1/chat/completions`. See `Decoder`."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._events = EventSplitter()

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        for event in self._events.feed(data):
            self._read(event)

    def flush(self) -> None:
        """See `Decoder`."""
        for event in self._events.flush():
            self._read(event)

    def _read(self, event: bytes) -> None:
        if self.done:
            return
        if event == b"[DONE]":
            self.done = True
            self.finish_reason = self.finish_reason or "stop"
            return
        try:
            chunk = _chunk_decoder.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._voice.garbled() from error
        if chunk.error is not None:
            raise self._voice.in_band(chunk.error)
        if chunk.choices:
            self._choose(chunk.choices[0])
        elif chunk.message is not None:  # vLLM's errors, before it took up OpenAI's form
            raise self._voice.in_band(chunk.message)
        if chunk.usage is not None:
            self.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

    def _choose(self, choice: _Choice) -> None:
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        delta = choice.delta
        if delta is None:
            return
        reasoning = delta.reasoning_content or delta.reasoning  # some servers send both, with one text
        if reasoning and isinstance(reasoning, str):
            self.add("reasoning", reasoning)
        if delta.content:
            self.add("token", delta.content)


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    message: Any = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


class _Meta(msgspec.Struct):
    n_ctx: int | None = None  # llama.cpp, per slot


class _Entry(msgspec.Struct):
    id: str
    owned_by: str = ""
    max_model_len: int | None = None  # vLLM
    meta: _Meta | None = None

    @property
    def context(self) -> int | None:
        """The context in tokens, where the server says."""
        return self.max_model_len or (self.meta.n_ctx if self.meta else None)


class _Listed(msgspec.Struct):
    data: list[_Entry] = []


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Template(msgspec.Struct):
    """llama.cpp refuses to go on with the answer of a model that could think first."""

    enable_thinking: bool = False


class _TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _Url(msgspec.Struct):
    url: str


class _ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: _Url


class _Said(msgspec.Struct):
    role: str
    content: str | list[_TextPart | _ImagePart]


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Said]
    stream: bool
    stream_options: _StreamOptions
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    return_progress: bool = False  # llama.cpp's own
    chat_template_kwargs: _Template | None = None
    continue_final_message: bool = False  # vLLM's own, both of them
    add_generation_prompt: bool | None = None


def chat_body(request: Request, begun: Begun, *, owner: str | None = None, progress: bool = False) -> bytes:
    """Return the JSON body of a streamed chat completion. `progress` is for llama.cpp alone.

    `owner` says whose server it is where the answer is `begun`.
    """
    options = request.options
    on_vllm = owner == VLLM
    return msgspec.json.encode(
        _Body(
            request.model,
            list(map(_said, begun.messages)),
            stream=True,
            stream_options=_StreamOptions(),
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=options.max_tokens,
            seed=options.seed,
            stop=options.stop,
            return_progress=progress,
            chat_template_kwargs=_Template() if owner == LLAMA_CPP else None,
            continue_final_message=on_vllm,
            add_generation_prompt=False if on_vllm else None,
        )
    )


def _said(message: ChatMessage) -> _Said:
    """Return a message as OpenAI has it: one with images is made of parts."""
    if not message.pictures:
        return _Said(message.role, message.content)
    parts: list[_TextPart | _ImagePart] = [_TextPart(message.content)]
    for picture in message.pictures:
        data = base64.b64encode(picture.data).decode()
        parts.append(_ImagePart(_Url(f"data:{picture.media_type};base64,{data}")))
    return _Said(message.role, parts)
