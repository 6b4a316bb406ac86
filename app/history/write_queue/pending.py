"""Answers that are not completely on disk, from admission until their end is written. Reads consult them, too."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from app.chat.branches import without
from app.chat.growing_text import GrowingText
from app.chat.ports import Kind
from app.chat.records import Exchange, Message, StreamState
from app.history.fence import Key
from app.history.write_queue.changes import Finish, Piece


class Growth:
    """One of the two texts of an answer, and how many of its tokens are on disk."""

    __slots__ = ("key", "kind", "message_id", "since", "texts", "written")

    def __init__(
        self, kind: Kind, texts: GrowingText, message_id: str, since: float, key: Key | None
    ) -> None:
        self.key = key
        self.kind = kind
        self.texts = texts
        self.message_id = message_id
        self.since = since
        self.written = 0

    @property
    def grown(self) -> bool:
        """Whether there are tokens that are not on disk."""
        return self.written != len(self.texts)

    def piece(self, now: float) -> Piece:
        """Return the tokens that are not on disk. `now` is loop time."""
        return Piece(
            message_id=self.message_id,
            kind=self.kind,
            start=self.written,
            tokens=len(self.texts) - self.written,
            text=self.texts.since(self.written),
            elapsed_ms=round((now - self.since) * 1000),
        )


class PendingAnswer:
    """An exchange that is not completely on disk. `key` is the lease under which it is written, in a cluster."""

    __slots__ = ("dropped", "ending", "exchange", "hidden", "key", "pending", "since")

    def __init__(self, exchange: Exchange, since: float, key: Key | None) -> None:
        self.key = key
        self.exchange = exchange
        self.since = since
        self.hidden = True  # not admitted yet, or withdrawn: no read sees it
        self.dropped = False  # from the conversation
        self.ending: Finish | None = None
        self.pending = 0  # its changes in the writer's queue

    @property
    def off(self) -> bool:
        """Whether its messages are excluded from the conversation."""
        return self.hidden or self.dropped

    @property
    def state(self) -> StreamState:
        """The last known state of its stream."""
        return self.ending.state if self.ending else self.exchange.stream


class Cut(NamedTuple):
    """A piece and the growth that it was cut from."""

    growth: Growth
    piece: Piece


class PendingView:
    """A read in progress. It becomes `stale` when the data that it reads changes."""

    __slots__ = ("stale",)

    def __init__(self) -> None:
        self.stale = False


class Pending:
    """All answers that are not completely on disk, and the reads in progress. No method awaits."""

    def __init__(self) -> None:
        self._answers: dict[str, PendingAnswer] = {}  # by stream
        self._growing: dict[
            str, tuple[Growth, Growth]
        ] = {}  # tokens and reasoning of the answers that may have grown, by stream
        self._readings: dict[str, set[PendingView]] = {}  # by session, or by stream

    def __repr__(self) -> str:
        return f"<Pending answers={len(self._answers)} growing={len(self._growing)}>"

    @property
    def behind(self) -> bool:
        """Whether any answer has queued changes."""
        return any(answer.pending for answer in self._answers.values())

    # ---- lifecycle of an answer ------------------------------------------------------------------------------

    def arrive(self, exchange: Exchange, key: Key | None = None) -> PendingAnswer:
        """Add an exchange whose admission is being written. It is hidden until `admit`."""
        exchange = msgspec.structs.replace(
            exchange, pictures=()
        )  # do not hold the images in memory until the answer ends
        answer = PendingAnswer(exchange, asyncio.get_running_loop().time(), key)
        self._answers[exchange.stream.stream_id] = answer
        return answer

    def admit(self, answer: PendingAnswer) -> None:
        """Make an exchange visible: its admission is on disk."""
        answer.hidden = False
        self.changed(answer)

    def follow(self, stream_id: str, texts: GrowingText, reasoning: GrowingText) -> None:
        """Take the text of an answer from these growing texts."""
        answer = self._answers.get(stream_id)
        if answer is not None and answer.ending is None:
            of = (answer.exchange.answer.message_id, answer.since, answer.key)
            self._growing[stream_id] = Growth("token", texts, *of), Growth("reasoning", reasoning, *of)

    def end(self, finish: Finish) -> None:
        """Store the complete answer until it is on disk."""
        answer = self._answers.get(finish.state.stream_id)
        if answer is not None:
            self._growing.pop(finish.state.stream_id, None)
            answer.ending = finish

    def drop(self, stream_id: str, *, hide: bool = False) -> PendingAnswer | None:
        """Exclude an exchange from the conversation; with `hide`, from all reads. `None` if it is unknown here."""
        answer = self._answers.get(stream_id)
        if answer is not None:
            self._growing.pop(stream_id, None)
            answer.dropped = True
            answer.hidden = answer.hidden or hide
            self.changed(answer)
        return answer

    def written(self, answer: PendingAnswer) -> None:
        """Count a change as done. After the last one of an ended or dropped answer, the answer is forgotten."""
        answer.pending -= 1
        if not answer.pending and (answer.ending or answer.dropped):
            self.forget(answer)

    def forget(self, answer: PendingAnswer) -> None:
        """Remove an answer: from now on, reads take it from disk."""
        stream_id = answer.exchange.stream.stream_id
        if self._answers.get(stream_id) is answer:
            del self._answers[stream_id]
            self._growing.pop(stream_id, None)
        self.changed(answer)

    def forget_session(self, session_id: str) -> None:
        """Remove all answers of a deleted session."""
        for answer in [a for a in self._answers.values() if a.exchange.session_id == session_id]:
            self.forget(answer)
        self._spoil(session_id)

    def forget_lost(self, keys: Collection[Key]) -> None:
        """Remove all answers that were written under leases which another node has now."""
        for answer in [each for each in self._answers.values() if each.key in keys]:
            self.forget(answer)
        for session_id, _ in keys:
            self._spoil(session_id)

    def forget_older(self, session_id: str, key: Key | None) -> None:
        """Remove all answers of a session that were written under other leases than this one."""
        older = [
            answer
            for answer in self._answers.values()
            if answer.exchange.session_id == session_id and answer.key != key
        ]
        for answer in older:
            self.forget(answer)
        self._spoil(session_id)

    def living(self, session_id: str, key: Key | None) -> frozenset[str]:
        """Return the streams of a session that are written here under its lease and have not ended."""
        return frozenset(
            stream_id
            for stream_id, answer in self._answers.items()
            if answer.exchange.session_id == session_id and answer.key == key
        )

    # ---- growth ----------------------------------------------------------------------------------------------

    @property
    def growing(self) -> int:
        """Number of answers that may have grown."""
        return len(self._growing)

    def cut(self) -> list[Cut]:
        """Return the tokens that are not on disk, one piece for each text that has grown."""
        # Not via `grown`, for speed: there may be thousands of streams, most without new tokens.
        grown = [
            (tokens, thoughts)
            for tokens, thoughts in self._growing.values()
            if tokens.written != len(tokens.texts) or thoughts.written != len(thoughts.texts)
        ]
        now = asyncio.get_running_loop().time()
        return [Cut(growth, growth.piece(now)) for both in grown for growth in both if growth.grown]

    # ---- reads -----------------------------------------------------------------------------------------------

    def find(self, stream_id: str) -> PendingAnswer | None:
        """Return the answer of a stream, `None` if it is completely on disk or unknown."""
        return self._answers.get(stream_id)

    def complete(self, messages: Iterable[Message]) -> list[Message]:
        """Bring messages that were read from disk up to date with the pending answers."""
        found = [self._as_it_is(message) for message in messages]
        gone = {message.message_id for message in found if self.is_off(message.stream_id)}
        return without(found, gone) if gone else found

    def is_off(self, stream_id: str | None) -> bool:
        """Return whether the messages of a stream are excluded from the conversation although they may be on disk."""
        answer = self._answers.get(stream_id) if stream_id else None
        return answer is not None and answer.off

    def off(self, session_id: str) -> set[str]:
        """Return the streams of a session whose messages are excluded although they may be on disk."""
        # A copy of the answers: a thread may ask while they change.
        return {
            stream_id
            for stream_id, answer in tuple(self._answers.items())
            if answer.exchange.session_id == session_id
            and answer.off
            and answer.exchange.stream.continues is None
        }

    def is_open(self, session_id: str) -> bool:
        """Return whether the session on disk is incomplete, or has messages that are no longer part of it."""
        return any(
            answer.exchange.session_id == session_id and (answer.pending or answer.off)
            for answer in self._answers.values()
        )

    def _as_it_is(self, message: Message) -> Message:
        answer = self._answers.get(message.stream_id) if message.stream_id else None
        if answer is None or message.message_id != answer.state.message_id:
            return message
        if answer.off and answer.state.continues is not None:
            return msgspec.structs.replace(
                answer.exchange.answer, parent_id=message.parent_id
            )  # as it was before
        if answer.ending is not None:
            state, message.content, message.reasoning, _ = answer.ending
            message.show(state)
        return message

    @contextmanager
    def reading(self, key: str) -> Iterator[PendingView]:
        """Track changes of a session or a stream while it is read from disk."""
        reading = PendingView()
        readings = self._readings.setdefault(key, set())
        readings.add(reading)
        try:
            yield reading
        finally:
            readings.discard(reading)
            if not readings and self._readings.get(key) is readings:
                del self._readings[key]

    def changed(self, answer: PendingAnswer) -> None:
        """Mark the reads in progress of this exchange's session and stream as stale."""
        self._spoil(answer.exchange.session_id)
        self._spoil(answer.exchange.stream.stream_id)

    def _spoil(self, key: str) -> None:
        for reading in self._readings.get(key, ()):
            reading.stale = True


def mark_written(cut: Collection[Cut]) -> None:
    """Record that these pieces are on disk."""
    for growth, piece in cut:
        growth.written = piece.start + piece.tokens
