"""How many bytes a change adds to what its owner has stored, as the triggers of the tables count them."""

from __future__ import annotations

import msgspec

from app.chat.archive import Archive, ArchivedStream
from app.chat.ports import Options
from app.chat.quotas import MESSAGE_BYTES
from app.chat.records import Exchange, Message
from app.chat.sizes import utf8_size


def of_exchange(exchange: Exchange) -> int:
    """Return the bytes that an admission adds. The answer adds more at its end."""
    new = 0 if exchange.stream.continues is not None else MESSAGE_BYTES
    if exchange.asks:
        images = sum(image.size for image in exchange.prompt.images)
        new += MESSAGE_BYTES + utf8_size(exchange.prompt.content) + images
    return new + (of_options(exchange.remember) if exchange.remember is not None else 0)


def of_message(message: Message) -> int:
    """Return the bytes of a message with its images."""
    images = sum(image.size for image in message.images)
    return MESSAGE_BYTES + utf8_size(message.content) + utf8_size(message.reasoning) + images


def of_options(options: Options) -> int:
    """Return the bytes of a session's options; none if there are none."""
    return len(msgspec.json.encode(options)) if options != Options() else 0


def of_archive(archive: Archive) -> int:
    """Return the bytes of a whole session."""
    texts = sum(utf8_size(message.content) + utf8_size(message.reasoning) for message in archive.messages)
    images = sum(len(image.data) for message in archive.messages for image in message.images)
    own = MESSAGE_BYTES * len(archive.messages) + of_options(archive.options)
    return texts + images + own + of_spare_streams(archive)


def of_spare_streams(archive: Archive) -> int:
    """Return the bytes of the streams that no message has, such as those that another one went on with.

    The others count with their messages. Those of an import would be a way to store anything for nothing.
    """
    had = {message.stream_id for message in archive.messages}
    return sum(_of_stream(stream) for stream in archive.streams if stream.stream_id not in had)


def _of_stream(stream: ArchivedStream) -> int:
    texts = [stream.model, stream.finish_reason or ""]
    if stream.error is not None:
        texts += [stream.error.code, stream.error.message]
    # Characters: these texts are short, and not all databases count bytes.
    return MESSAGE_BYTES + sum(map(len, texts))
