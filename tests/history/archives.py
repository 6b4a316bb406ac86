"""Archives for tests: one of each kind of thing, and whatever a strategy comes up with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from app.chat.archive import Archive, ArchivedImage, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.contents import Problem
from app.chat.ports import Options, Usage
from app.chat.states import Outcome

TIMES = [f"2026-01-01T00:00:{second:02}.000+00:00" for second in range(60)]
# What no database can hold is replaced, and what JSON cannot hold is no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_numbers = itertools.count()


def name(kind: str) -> str:
    """An id that no other archive has."""
    return f"kept-{kind}-{next(_numbers)}"


def picture(data: bytes = b"\x89PNG") -> ArchivedImage:
    """An image of some bytes."""
    return ArchivedImage(image_id=name("image"), media_type="image/png", data=data)


def stream(message_id: str, **more: Any) -> ArchivedStream:
    """A stream that wrote a message."""
    known: dict[str, Any] = {
        "stream_id": name("stream"),
        "message_id": message_id,
        "created_at": TIMES[0],
        "model": "scripted/story",
        "outcome": Outcome.COMPLETE,
        "finish_reason": "stop",
        "tokens": 2,
        "duration_ms": 120,
        "ttft_ms": 40,
        "upstream_closed": True,
        "usage": Usage(7, 2),
    }
    return ArchivedStream(**{**known, **more})


def message(parent_id: str | None, role: Any, content: str, **more: Any) -> ArchivedMessage:
    """A message that follows another one."""
    known = {"message_id": name("message"), "stream_id": None, "created_at": TIMES[0], **more}
    return ArchivedMessage(parent_id=parent_id, role=role, content=content, **known)


def archive(**more: Any) -> Archive:
    """A session with two branches, an error, a continued answer, a picture and a key."""
    first, other = name("answer"), name("answer")
    broken = stream(first, outcome=Outcome.FAILED, error=Problem("upstream_error", "It broke."), usage=None)
    second = stream(first, continues=broken.stream_id, created_at=TIMES[1])
    third = stream(other, outcome=Outcome.STOPPED, created_at=TIMES[2], ttft_ms=None)
    prompt = message(None, "user", "hello", stream_id=broken.stream_id, images=[picture(), picture(b"two")])
    answers = [
        message(prompt.message_id, "assistant", "Hi", message_id=first, stream_id=second.stream_id),
        message(
            prompt.message_id, "assistant", "Ho", message_id=other, stream_id=third.stream_id, reasoning="hm"
        ),
    ]
    known: dict[str, Any] = {
        "session_id": name("session"),
        "title": "Greetings",
        "created_at": TIMES[0],
        "updated_at": TIMES[3],
        "options": Options(temperature=0.5, system="Be brief."),
        "messages": [prompt, *answers, message(first, "user", "more")],
        "streams": [broken, second, third],
        "keys": [ArchivedKey("key", broken.stream_id, "hash")],
        **more,
    }
    return Archive(kind="tailrace-session", version=1, **known)


@st.composite
def archives(draw: st.DrawFn) -> Archive:
    """Any tree of messages, with streams and pictures."""
    messages: list[ArchivedMessage] = []
    streams: list[ArchivedStream] = []
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from([None, *messages]))
        answers = parent is not None and parent.role == "user"
        message_id = name("message")
        stream_id = None
        if answers:
            streams.append(draw(_streams(message_id, len(streams))))
            stream_id = streams[-1].stream_id
        messages.append(
            message(
                parent.message_id if parent else None,
                "assistant" if answers else "user",
                draw(TEXT),
                message_id=message_id,
                stream_id=stream_id,
                reasoning=draw(TEXT) if answers else "",
                created_at=draw(st.sampled_from(TIMES)),
                images=[]
                if answers
                else [picture(data) for data in draw(st.lists(st.binary(max_size=9), max_size=2))],
            )
        )
    return archive(title=draw(TEXT), messages=messages, streams=streams, keys=[], options=draw(_OPTIONS))


_OPTIONS = st.builds(
    Options,
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    stop=st.none() | st.lists(TEXT, max_size=2),
    system=st.none() | TEXT,
)
_COUNT = st.integers(0, 2**53 - 1)


def _streams(message_id: str, number: int) -> st.SearchStrategy[ArchivedStream]:
    return st.builds(
        ArchivedStream,
        stream_id=st.just(name("stream")),
        message_id=st.just(message_id),
        created_at=st.just(TIMES[number]),
        model=TEXT,
        outcome=st.sampled_from(Outcome),
        finish_reason=st.none() | TEXT,
        tokens=_COUNT,
        duration_ms=_COUNT,
        ttft_ms=st.none() | _COUNT,
        upstream_closed=st.booleans(),
        usage=st.none() | st.builds(Usage, _COUNT, _COUNT),
        error=st.none() | st.builds(Problem, st.just("upstream_error"), TEXT),
    )


def renamed(archive: Archive, new_id: Callable[[], str]) -> Archive:
    """Return the session with new ids throughout and without its keys. Running streams become `interrupted`."""
    names: dict[str, str] = {}

    def new(name: str) -> str:
        return names.setdefault(name, new_id())

    def maybe(name: str | None) -> str | None:
        return None if name is None else new(name)

    replace = msgspec.structs.replace
    messages = [
        replace(
            message,
            message_id=new(f"m {message.message_id}"),
            parent_id=maybe(message.parent_id and f"m {message.parent_id}"),
            stream_id=maybe(message.stream_id and f"s {message.stream_id}"),
            images=[replace(picture, image_id=new_id()) for picture in message.images],
        )
        for message in archive.messages
    ]
    streams = [
        replace(
            stream,
            stream_id=new(f"s {stream.stream_id}"),
            message_id=new(f"m {stream.message_id}"),
            continues=maybe(stream.continues and f"s {stream.continues}"),
            outcome=stream.outcome or Outcome.INTERRUPTED,
        )
        for stream in archive.streams
    ]
    return replace(archive, session_id=new_id(), messages=messages, streams=streams, keys=[])
