"""How many bytes a change adds to what its owner has stored, as the triggers of the tables count them."""

from __future__ import annotations

import msgspec

from app.chat.archive import Archive
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
    return texts + images + MESSAGE_BYTES * len(archive.messages) + of_options(archive.options)
