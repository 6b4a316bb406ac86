"""The request of a stream to its model, built when the stream starts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate

from app.chat.branches import path
from app.chat.context import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, assemble
from app.chat.ports import Request
from app.chat.records import History, Message
from app.streams.bounds import Bounds
from app.streams.stream import Stream

IMAGE_BYTES = 16 * 1024 * 1024  # of earlier images together: they are sent again with each prompt


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
    pictures: set[str] = set()
    if stream.model.vision is not False:
        pictures = _pictures([*earlier, prompt], context // TOKENS_PER_IMAGE)
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
        load=partial(history.image, stream.owner),
    )


def _pictures(messages: Sequence[Message], room: int) -> set[str]:
    """Return the ids of the latest images, at most `room` and `IMAGE_BYTES`, but always all of the last message."""
    images = [image for message in messages for image in message.images]
    own = len(messages[-1].images)
    sizes = accumulate(image.size for image in reversed(images))
    count = max(own, min(room, sum(size <= IMAGE_BYTES for size in sizes)))
    return {image.image_id for image in images[-count:]} if count else set()
