"""Exchanges for tests of the history."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from app.chat.contents import Problem
from app.chat.ports import Usage
from app.chat.records import Exchange, Message, StreamState
from app.chat.states import Outcome, Status

OWNER = "somebody"
_numbers = itertools.count(1)


def exchange(
    session_id: str = "s",
    prompt: str = "hello",
    *,
    owner: str = OWNER,
    parent_id: str | None = None,
    **more: Any,
) -> Exchange:
    """A prompt that was just asked. Each is a second younger than the one before it."""
    number = next(_numbers)
    created_at = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000+00:00"
    stream_id, message_id = f"stream-{number}", f"answer-{number}"
    return Exchange(
        owner=owner,
        session_id=session_id,
        created_at=created_at,
        prompt=Message(
            message_id=f"prompt-{number}",
            parent_id=parent_id,
            role="user",
            content=prompt,
            stream_id=stream_id,
            created_at=created_at,
        ),
        answer=Message(
            message_id=message_id,
            parent_id=f"prompt-{number}",
            role="assistant",
            content="",
            stream_id=stream_id,
            model="scripted/story",
            created_at=created_at,
        ),
        stream=StreamState(
            stream_id=stream_id,
            session_id=session_id,
            status=Status.QUEUED,
            outcome=None,
            finish_reason=None,
            model="scripted/story",
            message_id=message_id,
            tokens=0,
            duration_ms=0,
            ttft_ms=None,
            upstream_closed=True,
        ),
        **more,
    )


def regenerated(asked: Exchange) -> Exchange:
    """The same prompt, to be answered once more."""
    again = exchange(asked.session_id, owner=asked.owner)
    answer = msgspec.structs.replace(again.answer, parent_id=asked.prompt.message_id)
    return msgspec.structs.replace(again, prompt=asked.prompt, answer=answer, asks=False)


def continued(asked: Exchange, answer: Message) -> Exchange:
    """The same answer, to be gone on with from what it is now."""
    again = exchange(asked.session_id, owner=asked.owner)
    stream = msgspec.structs.replace(again.stream, message_id=answer.message_id, continues=answer.stream_id)
    return msgspec.structs.replace(again, prompt=asked.prompt, answer=answer, stream=stream, asks=False)


def ended(asked: Exchange, outcome: Outcome = Outcome.COMPLETE, **figures: Any) -> StreamState:
    """The state of its stream after its end."""
    known = {
        "finish_reason": "stop",
        "tokens": 3,
        "duration_ms": 120,
        "ttft_ms": 40,
        "usage": Usage(prompt_tokens=7, completion_tokens=3),
        **figures,
    }
    return msgspec.structs.replace(asked.stream, status=Status.ENDED, outcome=outcome, **known)


def failed(asked: Exchange) -> StreamState:
    """The state of its stream after an error."""
    problem = Problem("upstream_truncated", "The answer broke off.")
    return ended(asked, Outcome.FAILED, finish_reason=None, usage=None, error=problem, upstream_closed=False)
