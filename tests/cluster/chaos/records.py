"""What a run of chaos records: the one log of each session, and what each viewer saw of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.log.shared.records import Marker, Place, Record, decode
from tests.support.sse import Event

TEXT = ("token", "reasoning")


class Piece(NamedTuple):
    """One event of a log, by its sequence number: a piece of text, a start, a status or an end."""

    stream_id: str
    name: str
    position: int = 0  # of a piece of text among those of its kind
    text: str = ""  # of an end: its outcome


class Log(dict[int, Piece]):
    """The events of a session by sequence number. `epochs` says under which each was written.

    `cuts` says of each earlier epoch up to which event it counts: what its owner showed beyond that is void.
    """

    void = 0  # events up to this one do not count any more: a new owner began after it

    def __init__(self, pieces: Iterable[tuple[int, Piece]] = ()) -> None:
        super().__init__(pieces)
        self.epochs: dict[int, int] = {}
        self.cuts: dict[int, int] = {}


class Seen(NamedTuple):
    """One event as a viewer got it: adjacent pieces of text may be one event."""

    epoch: int
    last: int  # sequence number of its last piece
    piece: Piece  # its whole text, with the position of its first piece
    pieces: int = 1

    @property
    def first(self) -> int:
        """The sequence number of its first piece."""
        return self.last - self.pieces + 1

    @classmethod
    def of(cls, event: Event) -> Seen:
        """Take an event that has an id."""
        assert event.id is not None
        epoch, seq = map(int, event.id.split("-"))
        data = event.data
        if event.name in TEXT:
            piece = Piece(data["stream_id"], event.name, data["position"], data["text"])
            return cls(epoch, seq, piece, data["count"])
        text = str(data["outcome"]) if event.name == "end" else ""
        return cls(epoch, seq, Piece(data["stream_id"], event.name, 0, text))


@dataclass
class Transcript:
    """What one viewer saw of a session. A `reset` begins a new run, from the cursor of a snapshot."""

    viewer: str
    session: str
    runs: list[list[Seen]] = field(default_factory=lambda: [[]])
    resets: list[str] = field(default_factory=list)  # reasons
    connections: int = 0

    def add(self, seen: Seen) -> None:
        """Append an event."""
        self.runs[-1].append(seen)

    def reset(self, reason: str) -> None:
        """Begin anew."""
        self.resets.append(reason)
        self.runs.append([])

    def __iter__(self) -> Iterator[Seen]:
        return (seen for run in self.runs for seen in run)


@dataclass
class Asked:
    """A prompt that was accepted (201), and how it ended as its stream's state says; `None` while it runs."""

    session: str
    stream_id: str
    message_id: str | None = None
    outcome: str | None = None


@dataclass
class Stored:
    """An answer as the history has it at the end."""

    session: str
    message_id: str
    content: str
    outcome: str | None
    is_newest: bool = False  # no message follows it in its session


def log_of(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> Log:
    """Return the log in the entries of a Redis stream: ids, each with its field and value.

    Of what is there twice, the first counts, as for a new owner.
    """
    log, head, epoch = Log(), 0, 0
    for entry_id, fields in entries:
        place = Place.parse(entry_id)
        if epoch not in (0, place.epoch):
            log.cuts[epoch] = head
        epoch = place.epoch
        said = decode(place, fields[0], fields[1])
        if isinstance(said, Marker):
            if said.base is not None:
                log.clear()
                log.epochs.clear()
                log.void = head = said.base
                log.cuts = dict(said.cuts)
        elif said is not None:
            for seq, piece in enumerate(_pieces(said, fields[0]), start=said.first):
                if seq > head:
                    log[seq], log.epochs[seq] = piece, epoch
            head = max(head, said.last)
    return log


def _pieces(record: Record, field: bytes) -> list[Piece]:
    if record.event is not None:
        outcome = str(getattr(record.event, "outcome", "")) if field == b"end" else ""
        return [Piece(record.event.stream_id, field.decode(), 0, outcome)]
    texts = enumerate(record.texts, start=record.position)
    return [Piece(record.stream_id, record.kind, position, text) for position, text in texts]
