"""Converts between an archive and the records of a history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from app.chat.archive import (
    LONGEST_WORD,
    Archive,
    ArchivedImage,
    ArchivedKey,
    ArchivedMessage,
    ArchivedStream,
    is_possible,
)
from app.chat.contents import Image
from app.chat.records import KnownKey, Message, SessionInfo, StreamState
from app.chat.states import Outcome, Status


def archived(
    info: SessionInfo,
    messages: Iterable[Message],
    states: Iterable[tuple[str | None, StreamState]],
    keys: Mapping[str, KnownKey],
    images: Mapping[str, bytes],
) -> Archive:
    """Return a session as an archive. Each state is paired with the time at which its stream was registered."""
    oldest_first = sorted(states, key=lambda known: (known[0] or "", known[1].stream_id))
    return Archive(
        kind="tailrace-session",
        version=1,
        **msgspec.structs.asdict(info),
        messages=[archived_message(message, images) for message in messages],
        streams=[archived_stream(created_at, state) for created_at, state in oldest_first],
        keys=[ArchivedKey(key, known.stream_id, known.request_hash) for key, known in sorted(keys.items())],
    )


def archived_message(message: Message, images: Mapping[str, bytes]) -> ArchivedMessage:
    """Return a message as an archive has it. `images` has the bytes of its images by id."""
    own = {name: getattr(message, name) for name in ArchivedMessage.__struct_fields__ if name != "images"}
    pictures = [
        ArchivedImage(image_id=image.image_id, media_type=image.media_type, data=images[image.image_id])
        for image in message.images
    ]
    return ArchivedMessage(**own, images=pictures)


def archived_stream(created_at: str | None, state: StreamState) -> ArchivedStream:
    """Return a stream as an archive has it, with the time at which it was registered."""
    known: dict[str, Any] = {name: getattr(state, name, None) for name in ArchivedStream.__struct_fields__}
    # What older versions stored could be longer than an import accepts.
    known["model"] = state.model[:LONGEST_WORD]
    known["finish_reason"] = state.finish_reason and state.finish_reason[:LONGEST_WORD]
    usage = state.usage if state.usage is not None and is_possible(state.usage) else None
    return ArchivedStream(**{**known, "created_at": created_at, "usage": usage, "error": state.error or None})


def info_of(archive: Archive) -> SessionInfo:
    """Return the session record, which has no messages."""
    return SessionInfo(**{name: getattr(archive, name) for name in SessionInfo.__struct_fields__})


def states_of(archive: Archive) -> list[StreamState]:
    """Return the states of the streams. Streams without an outcome become `interrupted`."""
    return [stream_state(archive.session_id, stream) for stream in archive.streams]


def stream_state(session_id: str, stream: ArchivedStream) -> StreamState:
    """Return the state of a stream. Without an outcome it becomes `interrupted`."""
    known = msgspec.structs.asdict(stream)
    del known["created_at"]
    ended = {"status": Status.ENDED, "outcome": stream.outcome or Outcome.INTERRUPTED}
    return StreamState(**{**known, **ended, "session_id": session_id, "error": stream.error or msgspec.UNSET})


def messages_of(archive: Archive) -> list[Message]:
    """Return the messages. Each answer gets the outcome and the figures of its stream."""
    states = {state.stream_id: state for state in states_of(archive)}
    return [_message(message, states.get(message.stream_id or "")) for message in archive.messages]


def _message(message: ArchivedMessage, state: StreamState | None) -> Message:
    own = msgspec.structs.asdict(message)
    own["images"] = [
        Image(picture.image_id, picture.media_type, len(picture.data)) for picture in message.images
    ]
    shown = Message(**own)
    if state is not None and state.message_id == message.message_id:
        shown.show(state)
    return shown
