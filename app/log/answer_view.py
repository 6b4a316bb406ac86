"""What a session log says of one answer: `static/state/reducer.js` in Python, held to the same cases.

Whatever shows an answer that is being written reads this, and never the stream that writes it.
"""

from __future__ import annotations

from app.chat import figures
from app.chat.states import Status
from app.log.entries import Begun, End, Entry, Event, Start, StatusChange


class AnswerView:
    """One answer, from the `start` of its stream on. Times are those of the log's clock, in seconds."""

    __slots__ = (
        "answered_at",
        "begun",
        "end",
        "message_id",
        "note",
        "reasoned_at",
        "reasoning",
        "seq",
        "status",
        "stream_id",
        "texts",
        "thought_tokens",
        "tokens",
        "torn",
    )

    def __init__(self, start: Start, seq: int) -> None:
        self.stream_id = start.stream_id
        self.message_id = start.message_id
        self.seq = seq  # of its `start`
        self.begun = start.continued or Begun()
        self.status = Status.THINKING
        self.note = ""
        self.texts: list[str] = []  # the answer; it only grows at its end, as the reasoning does
        self.reasoning: list[str] = []
        self.tokens = 0  # pieces of the answer
        self.thought_tokens = 0  # pieces of the reasoning
        self.torn = False  # pieces are missing
        self.reasoned_at: float | None = None  # when the first piece of reasoning came
        self.answered_at: float | None = None  # when the first piece of the answer did
        self.end: End | None = None

    def __repr__(self) -> str:
        return f"<AnswerView {self.stream_id} {self.status} tokens={len(self.texts)}>"

    @property
    def content(self) -> str:
        """The answer so far, with what it had before its stream."""
        return self.begun.content + "".join(self.texts)

    @property
    def thoughts(self) -> str:
        """The reasoning so far, with what there was before its stream."""
        return self.begun.reasoning + "".join(self.reasoning)

    def thought_ms(self, now: float) -> int | None:
        """Return how long the model has thought, in ms; see `figures`."""
        return figures.thought_ms(self.reasoned_at, self.answered_at, now)

    def take(self, entry: Entry, now: float) -> None:
        """Fold an entry. One of another stream, of a kind that is not known, or after the end changes nothing.

        Text that is there already is dropped; a gap, or half a repetition, tears the view.
        """
        if entry.stream_id != self.stream_id or self.end is not None:
            return
        if entry.event is not None:
            self.take_event(entry.event)
        elif entry.name in ("token", "reasoning"):
            known = self.tokens if entry.name == "token" else self.thought_tokens
            if entry.position == known:
                self.take_text(entry.name, [entry.text], now, entry.count)
            elif entry.position + entry.count > known:
                self.torn = True

    def take_event(self, event: Event) -> None:
        """Fold an event of its stream."""
        if isinstance(event, StatusChange):
            self.status, self.note = event.status, event.note
        elif isinstance(event, End):
            self.status, self.note, self.end = Status.ENDED, "", event

    def take_text(self, kind: str, texts: list[str], now: float, count: int) -> None:
        """Fold the next `count` pieces of text. This is done for every token."""
        self.status, self.note = Status.STREAMING, ""
        if kind == "token":
            if self.answered_at is None:
                self.answered_at = now
            self.tokens += count
            self.texts += texts
        else:
            if self.reasoned_at is None:
                self.reasoned_at = now
            self.thought_tokens += count
            self.reasoning += texts
