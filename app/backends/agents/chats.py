"""The chat that an agent is asked about, with the bytes of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.agent import Chat, Image, Message, Options
from app.chat.ports import ChatMessage, Request
from app.chat.scoped_ids import bare

MOST_BYTES = 12 * 1024 * 1024  # of the images of a chat


async def chat_of(request: Request) -> Chat:
    """Return the chat of a request. Raises what `Request.load` raises.

    An agent holds the bytes of its images for as long as it runs, so older messages come without theirs where there are
    more than `MOST_BYTES`. An image that several messages name is loaded once.
    """
    images = {each: await _loaded(each, request) for each in _fitting(request.messages)}
    return Chat(
        messages=tuple(_message(message, images) for message in request.messages),
        options=_options(request),
        session_id=bare(request.session_id),
        stream_id=request.stream_id,
        owner=request.owner,
        continues=bool(request.messages) and request.messages[-1].role == "assistant",
        headers=request.headers,
    )


def _fitting(messages: Sequence[ChatMessage]) -> set[str]:
    """Return the ids of the images to load: those of the last message that has any, and of older ones what fits."""
    fitting: set[str] = set()
    room = MOST_BYTES
    for message in reversed(messages):
        new = {
            picture.image_id: picture.size for picture in message.pictures if picture.image_id not in fitting
        }
        room -= sum(new.values())
        if fitting and room < 0:
            break
        fitting.update(new)
    return fitting


async def _loaded(image_id: str, request: Request) -> Image:
    loaded = await request.load(image_id)
    return Image(loaded.media_type, loaded.data)


def _message(message: ChatMessage, images: Mapping[str, Image]) -> Message:
    shown = tuple(images[picture.image_id] for picture in message.pictures if picture.image_id in images)
    return Message(message.role, message.content, shown)


def _options(request: Request) -> Options:
    said = request.options
    stop = None if said.stop is None else tuple(said.stop)
    return Options(said.temperature, said.top_p, said.max_tokens, said.seed, stop)
