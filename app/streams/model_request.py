"""The request of a stream to its model, built when the stream starts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from app.chat.branches import path
from app.chat.context import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, assemble
from app.chat.errors import ImageNotFound
from app.chat.ports import ImageData, Request
from app.chat.records import History, Message
from app.streams.bounds import Bounds
from app.streams.stream import Stream

IMAGE_BYTES = (
    16 * 1024 * 1024
)  # of earlier images together: they are in memory several times while they are sent


async def request_for(stream: Stream, history: History, bounds: Bounds) -> Request:
    """Build the request from the conversation as it is now: the answers of earlier streams are part of it."""
    context = stream.model.context or bounds.context_tokens
    before: list[Message] = []
    prompt = stream.prompt
    if prompt.parent_id is not None:  # else nothing was said before it
        most = context // TOKENS_PER_MESSAGE + 2  # no more fit; the last ones show that some were left out
        messages = await history.near(stream.owner, stream.session_id, prompt.message_id, most)
        # Only the prompt's own branch, and no answer that has not ended.
        *before, prompt = path(messages, prompt.message_id)
    earlier = [message for message in before if message.outcome or message.role != "assistant"]
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
    headers = stream.trace.upstream(stream.session_id, stream.model, stream.options)
    return Request(
        model=stream.model.name,
        messages=read,
        options=stream.options,
        headers=headers,
        owner=stream.owner,
        session_id=stream.session_id,
        stream_id=stream.stream_id,
    )


async def _images(
    history: History, owner: str, messages: Sequence[Message], room: int
) -> dict[str, ImageData]:
    """Return the latest images by id, at most `room` and `IMAGE_BYTES`, but always all of the prompt (the last)."""
    images = [image for message in messages for image in message.images]
    own = len(messages[-1].images)
    sizes = accumulate(image.size for image in reversed(images))
    count = max(own, min(room, sum(size <= IMAGE_BYTES for size in sizes)))
    found: dict[str, ImageData] = {}
    for image in images[-count:] if count else ():
        try:
            found[image.image_id] = await history.image(owner, image.image_id)
        except ImageNotFound:  # its message was discarded in the meantime
            continue
    return found
