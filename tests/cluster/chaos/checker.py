"""Holds what each viewer saw against the one log and the history, and tells each fault by its kind.

What the nodes logged is checked with the product's own audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from app.telemetry.audit import audit_nodes
from tests.cluster.chaos.records import Asked, Log, Piece, Seen, Stored, Transcript
from tests.cluster.harness.model import counted

KINDS = (
    "overlap",  # two answers of a session visible at once
    "lost",  # a token that a viewer saw, and the history or the log has not
    "repeated",  # an event that a viewer got twice
    "skipped",  # an event between two that a viewer got, which it did not get
    "differs",  # an event that the log has otherwise, or an end that is not everybody's
    "beyond its cut",  # an event that the next owner's log did not begin after, and no reset told its viewer so
    "prompt lost",  # accepted, and without an end, or not exactly one start and one end in the log
    "stuck",  # a session that takes no prompt, a viewer that does not get to the end
    "broken",  # a stored answer with a gap or a repetition in its text
    "not continued",  # an interrupted answer that nobody went on with
    "audit",  # what `tailrace audit` finds in the log lines of all nodes
)


@dataclass
class Found:
    """Faults, counted by kind; the first of each kind in words."""

    counts: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    events: int = 0  # that were looked at

    def add(self, kind: str, what: str, count: int = 1) -> None:
        """Count a fault."""
        assert kind in KINDS
        if self.counts[kind] < 20:
            self.details.append(f"{kind}: {what}")
        self.counts[kind] += count

    def merge(self, other: Found) -> None:
        """Add what another check found."""
        self.counts.update(other.counts)
        self.details += other.details
        self.events += other.events

    @property
    def is_clean(self) -> bool:
        """Whether no fault was found."""
        return not self.counts.total()


def check(
    transcripts: Iterable[Transcript],
    logs: Mapping[str, Log],
    asked: Sequence[Asked],
    stored: Sequence[Stored],
    *,
    continues: bool = True,
) -> Found:
    """Check a run. `continues`: interrupted answers at the end of a session must have been continued."""
    found = Found()
    for transcript in transcripts:
        _Viewed(transcript, logs[transcript.session], found).check()
    for session, log in logs.items():
        _order([(seq, log[seq]) for seq in sorted(log)], f"the log of {session}", found)
    _prompts(asked, logs, found)
    _texts(transcripts, asked, stored, found)
    for answer in stored:
        if continues and answer.is_newest and answer.outcome == "interrupted":
            found.add("not continued", f"{answer.session} {answer.message_id}")
    return found


def check_lines(lines: Mapping[str, Sequence[str]], bound: float) -> Found:
    """Check what the nodes logged, by their names. `bound` is their `SUPERSEDE_TIMEOUT`, in seconds."""
    found = Found()
    for violation in audit_nodes(lines, bound=bound).violations:
        found.add("audit", str(violation))
    return found


class _Viewed:
    """The check of one transcript against the log."""

    def __init__(self, transcript: Transcript, log: Log, found: Found) -> None:
        self._name = f"{transcript.viewer} of {transcript.session}"
        self._transcript = transcript
        self._log = log
        self._begins = min(log, default=log.void + 1)  # earlier events were trimmed, or are void
        self._found = found

    def check(self) -> None:
        runs = self._transcript.runs
        for run in runs:
            self._sequence(run)
            void = self._void(run)
            for seen in run[: len(run) - len(void)]:
                self._compare(seen)
            if void and run is runs[-1]:
                self._found.add("beyond its cut", f"{self._name}: no reset after {void[0]}", len(void))
            for seen in void:
                self._compare_end(seen)
            _order([(seen.last, seen.piece) for seen in run], self._name, self._found)
        self._found.events += sum(len(run) for run in self._transcript.runs)

    def _sequence(self, run: list[Seen]) -> None:
        for before, seen in pairwise(run):
            if seen.first <= before.last:
                self._found.add(
                    "repeated", f"{self._name}: {seen} after {before}", before.last - seen.first + 1
                )
            elif seen.first > before.last + 1:
                self._found.add(
                    "skipped", f"{self._name}: {seen} after {before}", seen.first - before.last - 1
                )
            if seen.epoch < before.epoch:
                self._found.add("differs", f"{self._name}: the epoch goes back in {seen} after {before}")

    def _void(self, run: list[Seen]) -> list[Seen]:
        """Return what is beyond the cut of its epoch at the end of a run, and tell what is so in its middle."""
        beyond = [seen for seen in run if self._is_beyond(seen)]
        void = run[len(run) - len(beyond) :]
        if beyond != void:
            self._found.add("beyond its cut", f"{self._name}: it went on after {beyond[0]}", len(beyond))
            return []
        return void

    def _is_beyond(self, seen: Seen) -> bool:
        return seen.epoch in self._log.cuts and seen.last > self._log.cuts[seen.epoch]

    def _compare_end(self, seen: Seen) -> None:
        """An answer has one end, in whichever epoch it was told."""
        if seen.piece.name != "end":
            return
        for seq, piece in self._log.items():
            if piece[:2] == seen.piece[:2] and piece != seen.piece:
                self._found.add("differs", f"{self._name}: {seen}, and the log has {piece} at {seq}")

    def _compare(self, seen: Seen) -> None:
        if seen.last < self._begins or self._is_beyond(seen):
            return
        pieces = [self._log.get(seq) for seq in range(max(seen.first, self._begins), seen.last + 1)]
        if missing := pieces.count(None):
            self._found.add("lost", f"{self._name}: {seen} is not in the log", missing)
            return
        if seen.first < self._begins:
            return
        if _joined([piece for piece in pieces if piece]) != seen.piece:
            epochs = sorted({self._log.epochs.get(seq, 0) for seq in range(seen.first, seen.last + 1)})
            self._found.add(
                "differs",
                f"{self._name}: {seen} of epoch {seen.epoch}, and the log has {pieces} of epochs {epochs}",
            )


def _joined(pieces: list[Piece]) -> Piece | None:
    """Return adjacent pieces as one event; `None` if they are none."""
    first, position = pieces[0], pieces[0].position
    for piece in pieces:
        if piece[:2] != first[:2] or piece.position != position:
            return None
        position += 1
    return first._replace(text="".join(piece.text for piece in pieces))


def _order(events: list[tuple[int, Piece]], name: str, found: Found) -> None:
    """The streams follow one another: `start … end start … end`. What came first may have begun before."""
    running, ended = "", set[str]()
    for seq, piece in events:
        if piece.stream_id in ended:
            found.add("overlap", f"{name}: {piece.name} at {seq} after the end of {piece.stream_id}")
        elif piece.name == "start" and running not in ("", piece.stream_id):
            found.add("overlap", f"{name}: {piece.stream_id} starts at {seq} while {running} runs")
        elif running not in ("", piece.stream_id):
            found.add("overlap", f"{name}: {piece.name} of {piece.stream_id} at {seq} while {running} runs")
        running = piece.stream_id
        if piece.name == "end":
            ended.add(piece.stream_id)
            running = ""


def _prompts(asked: Sequence[Asked], logs: Mapping[str, Log], found: Found) -> None:
    named: dict[str, Counter[str]] = {}
    for log in logs.values():
        for piece in log.values():
            if piece.name in ("start", "end"):
                named.setdefault(piece.stream_id, Counter())[piece.name] += 1
    for prompt in asked:
        if prompt.outcome is None:
            found.add("prompt lost", f"{prompt.session} {prompt.stream_id} never ended")
            continue
        log = logs[prompt.session]
        counts = named.get(prompt.stream_id, Counter())
        if (counts["start"], counts["end"]) != (1, 1) and min(log, default=log.void + 1) <= 1:
            found.add(
                "prompt lost",
                f"{prompt.session} {prompt.stream_id} ({prompt.outcome}) is in the log as {dict(counts)}",
            )


def _texts(
    transcripts: Iterable[Transcript], asked: Sequence[Asked], stored: Sequence[Stored], found: Found
) -> None:
    """Each stored answer is whole, and has all that anybody saw of it: a token says its place in the answer."""
    texts = {answer.message_id: answer for answer in stored}
    answers = {prompt.stream_id: texts.get(prompt.message_id or "") for prompt in asked}
    for answer in stored:
        if counted(answer.content) is None:
            found.add("broken", f"{answer.session} {answer.message_id}: {answer.content[:200]!r}")
    for transcript in transcripts:
        for seen in transcript:
            shown = answers.get(seen.piece.stream_id)
            if shown is None or seen.piece.name != "token":
                continue
            have = len(shown.content.split())
            if (most := int(seen.piece.text.split()[-1]) + 1) > have:
                what = f"{transcript.viewer} saw {most} tokens of {seen.piece.stream_id}, stored are {have}"
                found.add("lost", what, most - have)
