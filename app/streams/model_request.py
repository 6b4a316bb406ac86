"""The request of a stream to its model, built when the stream starts."""

from __future__ import annotations

from collections.abc import Sequence

from app.chat.branches import path
from app.chat.context import TOKENS_PER_IMAGE, assemble
from app.chat.errors import ImageNotFound
from app.chat.ports import ImageData, Request
from app.chat.records import History, Message
from app.streams.bounds import Bounds
from app.streams.stream import Stream


async def request_for(stream: Stream, history: History, bounds: Bounds) -> Request:
    """Build the request from the conversation as it is now: the answers of earlier streams are part of it."""
    messages = await history.messages(stream.owner, stream.session_id)
    # Only the prompt's own branch, and no answer that has not ended.
    *before, prompt = path(messages, stream.prompt.message_id)
    earlier = [message for message in before if message.outcome or message.role != "assistant"]
    context = stream.model.context or bounds.context_tokens
    pictures: dict[str, ImageData] = {}
    if stream.model.vision is not False:
        pictures = await _images(history, stream.owner, [*earlier, prompt], context // TOKENS_PER_IMAGE)
    read = assemble(
        earlier,
        prompt,
        stream.options,
        context,
        begun=stream.begun.content if stream.begun else "",
        pictures=pictures,
    )
    return Request(model=stream.model.name, messages=read, options=stream.options)


async def _images(
    history: History, owner: str, messages: Sequence[Message], room: int
) -> dict[str, ImageData]:
    """Return the latest images by id, at most `room`, but always all images of the prompt (the last message)."""
    images = [image for message in messages for image in message.images]
    found: dict[str, ImageData] = {}
    for image in images[-max(room, len(messages[-1].images)) :] if images else ():
        try:
            found[image.image_id] = await history.image(owner, image.image_id)
        except ImageNotFound:  # its message was discarded in the meantime
            continue
    return found
