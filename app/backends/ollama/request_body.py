"""Encodes the request body of `/api/chat`."""

from __future__ import annotations

import msgspec

from app.backends.http.attempt import Form
from app.backends.http.continuation import Begun
from app.backends.http.pictured import place
from app.backends.http.refusals import without_system
from app.chat.ports import ChatMessage, Options


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
    images: list[msgspec.Raw] | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Said]
    options: _Settings
    stream: bool
    truncate: bool | None = None  # `False`: refuse a prompt that is too long, instead of dropping its start


def chat_body(model: str, begun: Begun, options: Options, context: int | None, form: Form) -> bytes:
    """Return the JSON body of a chat request, with a `place` for each image.

    `context` is in tokens; `form` has the known refusals of the server.
    """
    messages = without_system(begun.messages) if form.system else begun.messages
    settings = _Settings(
        num_ctx=context,
        num_predict=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop,
    )
    truncate = None if form.extras else False
    return msgspec.json.encode(
        _Body(model, list(map(_said, messages)), settings, stream=True, truncate=truncate)
    )


def _said(message: ChatMessage) -> _Said:
    return _Said(message.role, message.content, [place() for _ in message.pictures] or None)
