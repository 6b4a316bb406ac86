"""Finds the prompt that a new owner starts again: the newest of its session, if nobody has seen any of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from app.chat.errors import (
    MessageNotFound,
    NoModels,
    SessionNotFound,
    StreamNotFound,
    UnknownModel,
)
from app.chat.ports import Backend, Catalog, Model
from app.chat.records import Exchange, History, Unfinished
from app.chat.scoped_ids import owner_of
from app.chat.submission import Submission
from app.log.answer_view import AnswerView
from app.streams.auto_continue import FRESH
from app.tasks.timeouts import within

_GONE = (
    SessionNotFound,
    MessageNotFound,
    StreamNotFound,
    UnknownModel,
    NoModels,
    TimeoutError,
    ValueError,  # `some` returns the messages that there are
)
MODEL_SECONDS = 1.0  # for the model; whoever wants the session waits for it


class Again(NamedTuple):
    """A prompt that is started again, under the ids of its stream and of its messages."""

    ask: Submission
    exchange: Exchange

    @property
    def stream_id(self) -> str:
        """Its stream."""
        return self.exchange.stream.stream_id


def candidate(left: Sequence[Unfinished], answers: Sequence[AnswerView]) -> Unfinished | None:
    """Return the stream among those that are `left` which can be started again; `answers` are those in the log.

    Only the newest: the ones before it may have been superseded, which nothing on disk tells. Only once: a prompt that
    ends its node must not end all of them. Nothing that anybody may have seen can be begun anew. And a stop wins.
    """
    if not left:
        return None
    newest = left[-1]
    if newest.taken_up or newest.halted or newest.has_text or not _is_fresh(newest):
        return None
    for answer in answers:
        if answer.stream_id == newest.stream_id:
            is_running = answer is answers[-1] and answer.end is None
            return newest if is_running and not (answer.tokens or answer.thought_tokens) else None
    return newest


def _is_fresh(stream: Unfinished) -> bool:
    """Return whether its user may be waiting still."""
    if stream.created_at is None:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(stream.created_at) < FRESH


async def prepared(stream: Unfinished, history: History, catalog: Catalog) -> Again | None:
    """Return all that it takes to start a stream again. `None`: its model or its messages are gone.

    Raises `HistoryUnavailable`.
    """
    owner, session_id = owner_of(stream.session_id), stream.session_id
    try:
        state = await history.stream(owner, stream.stream_id)
        session = await history.session(owner, session_id)
        [answer] = await history.some(owner, session_id, [stream.message_id])
        [prompt] = await history.some(owner, session_id, [answer.parent_id or ""])
        backend, model = await _resolved(catalog, stream.model)
    except _GONE:
        return None
    if stream.continues is not None:
        answer.stream_id = stream.continues  # as it was when the stream was registered
    ask = Submission(
        owner=owner,
        session_id=session_id,
        model=model,
        backend=backend,
        options=stream.options.over(session.options),
        if_active="enqueue",
    )
    exchange = Exchange(
        owner=owner,
        session_id=session_id,
        created_at=stream.created_at or "",
        stream=msgspec.structs.replace(state, continues=stream.continues),
        prompt=prompt,
        answer=answer,
        asks=False,
        # Nothing on disk tells whether it was its user who continued the answer. Whoever stops an interrupted answer by
        # the stream that they know stops its continuation, too.
        unasked=stream.continues is not None,
        options=stream.options,
    )
    return Again(ask, exchange)


async def _resolved(catalog: Catalog, model_id: str) -> tuple[Backend, Model]:
    return await within(MODEL_SECONDS, catalog.resolve(model_id))
