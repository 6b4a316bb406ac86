"""The checker finds each kind of fault in made-up transcripts, and nothing in sound ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.log.shared.records import Marker, Record, encode_marker
from tests.cluster.chaos.checker import KINDS, Found, check, check_lines
from tests.cluster.chaos.records import Asked, Log, Piece, Seen, Stored, Transcript, log_of

STATUS = Piece("a", "status")


def sound_log() -> Log:
    """Two answers of three tokens; the first was taken over after its second token, in epoch 2 from 6 on."""
    pieces = [
        *(Piece("a", "start"), STATUS, *(Piece("a", "token", n, f" {n}") for n in range(3))),
        *(Piece("a", "end", 0, "interrupted"), Piece("b", "start")),
        *(Piece("b", "token", n, f" {n}") for n in range(3)),
        Piece("b", "end", 0, "complete"),
    ]
    log = Log(enumerate(pieces, start=1))
    log.epochs = {seq: 1 if seq < 6 else 2 for seq in log}
    log.cuts = {1: 5}
    return log


def sound_view() -> Transcript:
    """All of it, with some tokens joined."""
    view = Transcript("v", "s")
    for seq, piece in sound_log().items():
        view.add(Seen(1 if seq < 6 else 2, seq, piece))
    run = view.runs[0]
    run[2:5] = [Seen(1, 5, Piece("a", "token", 0, " 0 1 2"), 3)]
    return view


class Case:
    """A sound run, to be spoilt."""

    def __init__(self) -> None:
        self.log = sound_log()
        self.view = sound_view()
        self.run = self.view.runs[0]
        self.asked = [Asked("s", "a", "m1", "interrupted"), Asked("s", "b", "m2", "complete")]
        self.stored = [
            Stored("s", "m1", " 0 1 2", "interrupted"),
            Stored("s", "m2", " 0 1 2", "complete", is_newest=True),
        ]

    def check(self) -> Found:
        return check([self.view], {"s": self.log}, self.asked, self.stored)


def repeated(case: Case) -> None:
    case.run.insert(3, case.run[2])


def repeated_in_part(case: Case) -> None:
    case.run.insert(3, Seen(1, 5, Piece("a", "token", 2, " 2")))


def skipped(case: Case) -> None:
    del case.run[2]


def skipped_after_a_takeover(case: Case) -> None:
    del case.run[3]


def lost_in_the_log(case: Case) -> None:
    del case.log[11]
    case.run[-1] = Seen(2, 11, Piece("b", "token", 3, " 3"))


def lost_in_the_history(case: Case) -> None:
    case.stored[0].content = " 0 1"


def other_text(case: Case) -> None:
    case.run[2] = Seen(1, 5, Piece("a", "token", 0, " 0 1 1"), 3)


def other_end(case: Case) -> None:
    case.run[-1] = Seen(2, 11, Piece("b", "end", 0, "stopped"))


def epoch_back(case: Case) -> None:
    case.run[-1] = case.run[-1]._replace(epoch=1)


def beyond_its_cut(case: Case) -> None:
    """The old owner went on, and nobody told its viewer."""
    case.run[3:] = [Seen(1, 6, Piece("a", "token", 3, " 3"))]
    case.stored[0].content = " 0 1 2 3"


def beyond_its_cut_and_on(case: Case) -> None:
    """The viewer was taken from the old owner's text right to the new one's."""
    case.run[3] = Seen(1, 6, Piece("a", "end", 0, "interrupted"))


def void_end(case: Case) -> None:
    """The old owner told another end of the same answer, before the reset."""
    case.view.runs = [[*case.run[:3], Seen(1, 6, Piece("a", "end", 0, "complete"))], case.run[3:]]


def starts_too_early(case: Case) -> None:
    case.log[6], case.log[7] = case.log[7], case.log[6]
    case.run[3:5] = [Seen(2, 6, Piece("b", "start")), Seen(2, 7, Piece("a", "end", 0, "interrupted"))]


def goes_on_after_its_end(case: Case) -> None:
    case.log[12] = Piece("a", "token", 3, " 3")


def never_ended(case: Case) -> None:
    case.asked[1].outcome = None


def not_in_the_log(case: Case) -> None:
    case.asked.append(Asked("s", "c", "m3", "complete"))


def two_ends(case: Case) -> None:
    case.log[12] = Piece("b", "end", 0, "complete")


def gap_in_the_history(case: Case) -> None:
    case.stored[1].content = " 0 2 3"


def left_alone(case: Case) -> None:
    case.stored[1].outcome = "interrupted"


SPOILT: list[tuple[Callable[[Case], None], str]] = [
    (repeated, "repeated"),
    (repeated_in_part, "repeated"),
    (skipped, "skipped"),
    (skipped_after_a_takeover, "skipped"),
    (lost_in_the_log, "lost"),
    (lost_in_the_history, "lost"),
    (other_text, "differs"),
    (other_end, "differs"),
    (epoch_back, "differs"),
    (beyond_its_cut, "beyond its cut"),
    (beyond_its_cut_and_on, "beyond its cut"),
    (void_end, "differs"),
    (starts_too_early, "overlap"),
    (goes_on_after_its_end, "overlap"),
    (never_ended, "prompt lost"),
    (not_in_the_log, "prompt lost"),
    (two_ends, "prompt lost"),
    (gap_in_the_history, "broken"),
    (left_alone, "not continued"),
]


def test_a_sound_run() -> None:
    """Nothing is found, and all events were looked at."""
    found = Case().check()
    assert found.is_clean, found.details
    assert found.events == 9


@pytest.mark.parametrize(("spoil", "kind"), SPOILT, ids=lambda value: getattr(value, "__name__", None))
def test_each_fault_is_found(spoil: Callable[[Case], None], kind: str) -> None:
    """Each is counted under its kind, and said in words."""
    case = Case()
    spoil(case)
    found = case.check()
    assert found.counts[kind], found.details
    assert any(detail.startswith(kind) for detail in found.details)


def test_every_kind_is_tried() -> None:
    """But for sessions that are stuck, which the run itself finds, and what is in the log lines."""
    assert {kind for _, kind in SPOILT} == set(KINDS) - {"stuck", "audit"}


def test_the_lines_of_all_nodes_are_audited() -> None:
    """Together, and with their bound."""
    start = "2026-01-01T00:00:00Z info stream_start trace=a session=s"
    end = "2026-01-01T00:00:07Z info stream_end trace=a session=s"
    wait = "2026-01-01T00:00:08Z info prev_stream_finished_cleanly trace=a session=s waited_ms=1500"
    taken = "2026-01-01T00:00:06Z warning session_taken_over session=s epoch=2 goes_on=a"
    assert check_lines({"node-0": [start], "node-1": [taken, end, wait]}, 2.0).is_clean
    assert check_lines({"node-0": [start], "node-1": [taken, end, wait]}, 1.0).counts["audit"] == 1
    assert check_lines({"node-0": [start], "node-1": []}, 2.0).counts["audit"] == 1


def test_a_reset_is_no_gap() -> None:
    """After a snapshot a viewer goes on from its cursor."""
    case = Case()
    case.view.runs = [case.run[:2], case.run[5:]]
    assert case.check().is_clean


def test_what_is_beyond_its_cut_is_void_before_a_reset() -> None:
    """Redis lost it, and its owner, too: the next one has another event there, and the viewer began anew."""
    case = Case()
    case.view.runs = [[*case.run[:3], Seen(1, 6, Piece("a", "status"))], case.run[3:]]
    found = case.check()
    assert found.is_clean, found.details


def test_what_was_trimmed_is_not_compared() -> None:
    """Neither are prompts whose start is gone with it."""
    case = Case()
    for seq in range(1, 7):
        del case.log[seq]
    assert case.check().is_clean


def test_what_a_new_owner_made_void_is_not_compared() -> None:
    """The history had more of an answer than the log: viewers get a reset, and go on from the snapshot."""
    case = Case()
    case.log.clear()
    case.log.void = 11
    assert case.check().is_clean


def test_a_log_is_read_from_redis() -> None:
    """Texts become their pieces; what comes before a new base is void."""
    text = Record(4, kind="token", stream_id="a", position=5, texts=[" 5", " 6"])
    field, value = text.encode()
    marker = [b"m", encode_marker(Marker())]
    assert log_of([(b"2-0", marker), (b"2-4", [field, value])]) == {
        3: Piece("a", "token", 5, " 5"),
        4: Piece("a", "token", 6, " 6"),
    }
    again = [b"m", encode_marker(Marker(base=7))]
    log = log_of([(b"2-4", [field, value]), (b"3-0", again)])
    assert (log, log.void) == ({}, 7)


def test_a_log_says_how_far_each_epoch_counts() -> None:
    """What is there twice counts as it was at first; a new base says itself what counted before."""
    marker = [b"m", encode_marker(Marker())]
    texts = [
        Record(
            last, kind="token", stream_id="a", position=position, texts=[f" {position}", f" {position + 1}"]
        )
        for last, position in ((2, 0), (3, 5))
    ]
    entries = [
        (b"1-0", marker),
        (b"1-2", [*texts[0].encode()]),
        (b"3-0", marker),
        (b"3-3", [*texts[1].encode()]),
        (b"4-0", marker),
    ]
    log = log_of(entries)
    assert [piece.text for piece in log.values()] == [" 0", " 1", " 6"]
    assert (log.epochs, log.cuts) == ({1: 1, 2: 1, 3: 3}, {1: 2, 3: 3})
    again = log_of([*entries, (b"5-0", [b"m", encode_marker(Marker(base=3, cuts=[(3, 3)]))])])
    assert (again.cuts, again.void) == ({3: 3}, 3)
