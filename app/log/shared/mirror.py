"""What an owner has of its session's log in memory: what viewers read."""

from __future__ import annotations

from collections.abc import Callable

from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import Entry, ResetReason, Start
from app.log.memory_log import MemoryLog
from app.log.segments import TextSegment
from app.log.shared.records import Marker, Place, Record, decode

MOST_CUTS = 64  # epochs that are remembered


class Mirror(MemoryLog):
    """A log without a fence of its own, which can begin anywhere. `cuts` says how far each earlier epoch counts.

    A cursor of an earlier epoch, up to its cut, goes on in this one: the sequence numbers go through.
    """

    def __init__(self, epoch: int, *, max_bytes: int, clock: Callable[[], float]) -> None:
        super().__init__(epoch, max_bytes=max_bytes, clock=clock)
        self.cuts: dict[int, int] = {}
        self.answers: list[AnswerView] = []  # that were replayed, in order; the last may have no end
        self._last_epoch: int | None = None  # of what was replayed

    # ---- what was said before --------------------------------------------------------------------------------

    def replay(self, place: Place, field: bytes, value: bytes) -> None:
        """Take an entry of the stream. What cannot follow what is there takes its place."""
        if self._last_epoch is not None and place.epoch != self._last_epoch:
            self.cuts[self._last_epoch] = self.head
        self._last_epoch = place.epoch
        said = decode(place, field, value)
        if isinstance(said, Marker):
            if said.base is not None:
                self.begin_at(said.base)
                self.cuts = dict(said.cuts)
        elif said is None:
            self.begin_at(max(self.head, place.seq))
        elif said.last > self.head:
            if said.first > self.head + 1:
                self.begin_at(said.first - 1)
            self.show(said if said.first == self.head + 1 else said.after(self.head))
            if isinstance(said.event, Start) and self.answer is not None:
                self.answers.append(self.answer)

    def replayed(self, newest: Place | None) -> None:
        """All was replayed. `newest` is the greatest id that the stream had before this epoch's marker."""
        if newest is not None:
            if newest.seq > self.head:
                self.begin_at(newest.seq)
            self.cuts[newest.epoch] = self.head
        if self._last_epoch is not None:
            self.cuts[self._last_epoch] = self.head
        kept = sorted((epoch, min(cut, self.head)) for epoch, cut in self.cuts.items() if epoch < self.epoch)
        self.cuts = {epoch: cut for epoch, cut in kept[-MOST_CUTS:] if cut >= self.floor}

    def begin_at(self, seq: int) -> None:
        """Drop all there is; the next event has the number after `seq`."""
        self._close_run()
        self._drop(len(self._segments))
        self._size = 0
        self.head = seq
        self.answer = None
        self.answers.clear()

    # ---- what is said ----------------------------------------------------------------------------------------

    def show(self, record: Record) -> None:
        """Take what Redis has acknowledged, and tell the listeners. Hot path."""
        if record.event is not None:
            self.put(record.event)
        else:
            self.append_text(0, record.kind, record.stream_id, record.position, record.texts)

    @property
    def newest(self) -> Entry | None:
        """The newest entry, if any is retained."""
        return self._segments[-1].entry(self.head - 1) if self._segments else None

    def records(self, after: int, size: int) -> list[Record]:
        """Return what follows `after`, about `size` bytes of it, for a stream that has lost it."""
        found: list[Record] = []
        for segment in self._after(after):
            if isinstance(segment, TextSegment):
                skipped = max(0, after + 1 - segment.first)
                texts = segment.pieces(skipped)
                position = segment.position + skipped
                record = Record(
                    segment.last,
                    kind=segment.kind,
                    stream_id=segment.stream_id,
                    position=position,
                    texts=texts,
                )
            else:
                record = Record(segment.last, event=segment.event)
            found.append(record)
            size -= record.size
            if size <= 0:
                break
        return found

    def refusal(self, cursor: Cursor) -> ResetReason | None:
        """See `SessionLog`."""
        if cursor.epoch != self.epoch and cursor.seq > self.cuts.get(cursor.epoch, -1):
            return "epoch"
        return super().refusal(Cursor(self.epoch, cursor.seq))
