"""The view of one answer, folded from a session log: `static/state/reducer.js` in Python, tested on the same cases.

Code that shows a running answer reads this view, never the stream that produces it.
"""

from __future__ import annotations

from app.chat import figures
from app.chat.growing_text import GrowingText
from app.chat.states import Status
from app.log.entries import Begun, End, Entry, Event, Prompt, Start, StatusChange


class AnswerView:
    """One answer, from the `start` of its stream on. Times are in seconds, on the log's clock."""

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
        "text",
        "thought_tokens",
        "tokens",
        "torn",
    )

    def __init__(self, start: Start, seq: int) -> None:
        self.stream_id = start.stream_id
        self.message_id = start.message_id
        self.seq = seq  # of the `start`
        self.begun = start.continued or Begun()
        self.status = Status.THINKING
        self.note = ""
        self.text = GrowingText()  # of this stream, by the pieces that arrived
        self.reasoning = GrowingText()
        self.tokens = 0  # pieces of the answer
        self.thought_tokens = 0  # pieces of the reasoning
        self.torn = False  # the text has a gap or an overlap, so it is no longer correct
        self.reasoned_at: float | None = None  # when the first piece of reasoning arrived
        self.answered_at: float | None = None  # when the first piece of the answer arrived
        self.end: End | None = None

    def empty(self) -> AnswerView:
        """Return another view of the same answer, without the text of its stream."""
        nothing = Prompt("", "")
        start = Start(self.stream_id, self.message_id, model="", prompt=nothing, continued=self.begun)
        return AnswerView(start, self.seq)

    def __repr__(self) -> str:
        return f"<AnswerView {self.stream_id} {self.status} tokens={self.tokens}>"

    @property
    def content(self) -> str:
        """The answer so far, including the text from before this stream."""
        return self.begun.content + str(self.text)

    @property
    def thoughts(self) -> str:
        """The reasoning so far, including the text from before this stream."""
        return self.begun.reasoning + str(self.reasoning)

    def thought_ms(self, now: float) -> int | None:
        """Return the thinking time so far in ms, or `None`; see `figures.thought_ms`."""
        return figures.thought_ms(self.reasoned_at, self.answered_at, now)

    def take(self, entry: Entry, now: float) -> None:
        """Fold an entry. Entries of other streams, of unknown kinds, or after the `end` are ignored.

        Repeated text is ignored as well; a gap or a partial overlap sets `torn`.
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
        """Fold an event, which must be of this stream."""
        if isinstance(event, StatusChange):
            self.status, self.note = event.status, event.note
        elif isinstance(event, End):
            self.status, self.note, self.end = Status.ENDED, "", event

    def take_text(self, kind: str, texts: list[str], now: float, count: int) -> None:
        """Fold the next `count` pieces of text, which `texts` may hold joined. Hot path: called for every token."""
        self.status, self.note = Status.STREAMING, ""
        if kind == "token":
            if self.answered_at is None:
                self.answered_at = now
            self.tokens += count
            self.text.add(texts)
        else:
            if self.reasoned_at is None:
                self.reasoned_at = now
            self.thought_tokens += count
            self.reasoning.add(texts)
