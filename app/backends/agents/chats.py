"""The chat that an agent is asked about, with the bytes of its images."""

from __future__ import annotations

from app.agent import Chat, Image, Message, Options
from app.chat.ports import ChatMessage, Request
from app.chat.scoped_ids import bare


async def chat_of(request: Request) -> Chat:
    """Return the chat of a request. Raises what `Request.load` raises."""
    return Chat(
        messages=tuple([await _message(message, request) for message in request.messages]),
        options=_options(request),
        session_id=bare(request.session_id),
        stream_id=request.stream_id,
        owner=request.owner,
        continues=bool(request.messages) and request.messages[-1].role == "assistant",
        headers=request.headers,
    )


async def _message(message: ChatMessage, request: Request) -> Message:
    loaded = [await request.load(picture.image_id) for picture in message.pictures]
    images = tuple(Image(picture.media_type, picture.data) for picture in loaded)
    return Message(message.role, message.content, images)


def _options(request: Request) -> Options:
    said = request.options
    stop = None if said.stop is None else tuple(said.stop)
    return Options(said.temperature, said.top_p, said.max_tokens, said.seed, stop)
