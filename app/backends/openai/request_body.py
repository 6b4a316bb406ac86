"""Encodes the request body of `/v1/chat/completions`."""

from __future__ import annotations

import msgspec

from app.backends.http.attempt import Form
from app.backends.http.continuation import Begun
from app.backends.http.pictured import place
from app.backends.http.refusals import without_system
from app.chat.ports import ChatMessage, Request

# Servers that continue a final assistant message, by `owned_by` in their model lists. Others start a new answer.
LLAMA_CPP, VLLM = "llamacpp", "vllm"
PLAIN = Form()


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Template(msgspec.Struct):
    """Disables thinking: llama.cpp refuses to continue the answer of a model that could think first."""

    enable_thinking: bool = False


class _TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _Url(msgspec.Struct):
    url: msgspec.Raw


class _ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: _Url


class _Said(msgspec.Struct):
    role: str
    content: str | list[_TextPart | _ImagePart]


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Said]
    stream: bool
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None  # for newer servers, which refuse `max_tokens`
    seed: int | None = None
    stop: list[str] | None = None
    return_progress: bool = False  # llama.cpp only
    chat_template_kwargs: _Template | None = None
    continue_final_message: bool = False  # vLLM only, as is `add_generation_prompt`
    add_generation_prompt: bool | None = None


def chat_body(
    request: Request, begun: Begun, form: Form = PLAIN, *, owner: str | None = None, progress: bool = False
) -> bytes:
    """Return the JSON body of a streamed chat completion, with a `place` for each image. `progress` is for llama.cpp.

    `owner` is the server's `owned_by`, if an answer is continued. `form` has the known refusals of the server.
    """
    options = request.options
    messages = without_system(begun.messages) if form.system else begun.messages
    on_vllm = owner == VLLM
    return msgspec.json.encode(
        _Body(
            request.model,
            list(map(_said, messages)),
            stream=True,
            stream_options=None if form.extras else _StreamOptions(),
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=None if form.max_tokens else options.max_tokens,
            max_completion_tokens=options.max_tokens if form.max_tokens else None,
            seed=options.seed,
            stop=options.stop,
            return_progress=progress,
            chat_template_kwargs=_Template() if owner == LLAMA_CPP else None,
            continue_final_message=on_vllm,
            add_generation_prompt=False if on_vllm else None,
        )
    )


def _said(message: ChatMessage) -> _Said:
    """Return a message in OpenAI's form: a message with images consists of parts."""
    if not message.pictures:
        return _Said(message.role, message.content)
    parts: list[_TextPart | _ImagePart] = [_TextPart(message.content)] if message.content else []
    parts += [_ImagePart(_Url(place(f"data:{picture.media_type};base64,"))) for picture in message.pictures]
    return _Said(message.role, parts)
