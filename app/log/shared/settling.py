"""What a new owner appends first to a log: the lost text and the ends of what earlier owners left unfinished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from app.chat.ports import Kind
from app.chat.states import Outcome
from app.log.answer_view import AnswerView
from app.log.entries import End, Event
from app.log.segments import TEXT_PIECES
from app.log.shared.shared_log import SharedLog


class Tail(NamedTuple):
    """Text that an answer has in the history, and lost in the log. It is told in one piece; the others are empty."""

    stream_id: str
    kind: Kind
    position: int  # of its first piece
    pieces: int
    text: str

    def texts(self) -> Iterator[list[str]]:
        """Yield the pieces, as many as an entry may have at a time."""
        for first in range(0, self.pieces, TEXT_PIECES):
            count = min(TEXT_PIECES, self.pieces - first)
            yield [self.text if first == 0 else "", *([""] * (count - 1))]


class GoesOn(NamedTuple):
    """An answer without any text of its stream that this node goes on with: it is not ended."""

    stream_id: str


Settle = Callable[[Sequence[AnswerView]], Awaitable[Sequence[Event | Tail | GoesOn]]]


async def append_missing(log: SharedLog, settled: Sequence[Event | Tail | GoesOn]) -> None:
    """Append what `Settle` has returned. An answer that it says nothing of ends as `interrupted`."""
    going_on = {item.stream_id for item in settled if isinstance(item, GoesOn)}
    missing = [item for item in settled if not isinstance(item, GoesOn)]
    if (answer := log.inherited) is not None and answer.stream_id in going_on:
        log.go_on()
    elif answer is not None:
        tokens = answer.tokens
        for item in missing:
            if item.stream_id == answer.stream_id and isinstance(item, Tail):
                tokens += item.pieces if item.kind == "token" else 0
            elif item.stream_id == answer.stream_id and isinstance(item, End):
                if item.tokens != tokens:  # nobody knows what is missing: viewers are to read it elsewhere
                    log.clear()
                    missing = [each for each in missing if each.stream_id != answer.stream_id]
                break
        else:
            missing.insert(0, interrupted(answer))
    for item in missing:
        if isinstance(item, Tail):
            position = item.position
            for texts in item.texts():
                log.append_text(log.fence, item.kind, item.stream_id, position, texts)
                position += len(texts)
        else:
            await log.append(log.fence, item)


def interrupted(answer: AnswerView) -> End:
    """Return the `end` of an answer whose owner is gone."""
    return End(
        stream_id=answer.stream_id,
        outcome=Outcome.INTERRUPTED,
        finish_reason=None,
        tokens=answer.tokens,
        duration_ms=0,
        ttft_ms=None,
        upstream_closed=False,
        message_id=answer.message_id,
    )
