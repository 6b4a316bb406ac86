"""What an owner makes of a stream: also of one that lost its beginning, its middle, or the end of an epoch."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from app.log.cursors import Cursor
from app.log.entries import Prompt, Start
from app.log.shared.mirror import Mirror
from app.log.shared.records import MARKER, Marker, Place, Record, decode, encode_marker
from tests.log.shared.conftest import end_of, numbers, read, text


def mirror_of(epoch: int = 9) -> Mirror:
    """Return an empty mirror."""
    return Mirror(epoch, max_bytes=10**6, clock=lambda: 0.0)


def said(epoch: int, last: int, count: int, position: int) -> tuple[Place, bytes, bytes]:
    """Return an entry of so many numbers."""
    texts = [f"{number} " for number in range(position, position + count)]
    record = Record(last, kind="token", stream_id="s1", position=position, texts=texts)
    return Place(epoch, last), *record.encode()


def started(epoch: int, seq: int) -> tuple[Place, bytes, bytes]:
    """Return an entry with a start."""
    return Place(epoch, seq), *Record(seq, event=Start("s1", "m1", "a/b", Prompt("p1", "hi"))).encode()


def marked(epoch: int, marker: Marker | None = None) -> tuple[Place, bytes, bytes]:
    """Return an owner's marker."""
    return Place(epoch, 0), MARKER, encode_marker(marker or Marker())


@pytest.mark.parametrize(
    "record",
    [
        Record(7, event=Start("s", "m", "a/b", Prompt("p", "hi\n%"), parent_id="x")),
        Record(8, event=end_of("s", 5)),
        Record(9, kind="reasoning", stream_id="s", position=3, texts=["a", "", "ü"]),
    ],
)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    """All kinds."""
    field, value = record.encode()
    again = decode(Place(1, record.last), field, value)
    assert isinstance(again, Record)
    assert (again.event, again.kind, again.texts) == (record.event, record.kind, record.texts)
    assert (again.first, again.last, again.position) == (record.first, record.last, record.position)


def test_epochs_end_at_the_next_marker() -> None:
    """A cursor of an epoch counts up to its end; one of an epoch that nobody knows does not count."""
    mirror = mirror_of()
    for entry in (
        marked(1),
        started(1, 1),
        said(1, 4, 3, 0),
        marked(3),
        said(3, 6, 2, 3),
        marked(4),
        marked(9),
    ):
        mirror.replay(*entry)
    mirror.replayed(Place(4, 0))
    assert mirror.cuts == {1: 4, 3: 6, 4: 6}
    assert text(read(mirror)) == numbers(5)
    for cursor, refusal in ((Cursor(1, 4), None), (Cursor(1, 5), "epoch"), (Cursor(2, 1), "epoch")):
        assert mirror.refusal(cursor) == refusal
    assert mirror.refusal(Cursor(3, 6)) is None
    assert mirror.refusal(Cursor(9, 6)) is None


def test_a_trimmed_stream_begins_later() -> None:
    """Its beginning has expired, also for cursors of earlier epochs."""
    mirror = mirror_of()
    for entry in (said(1, 14, 5, 8), marked(2), said(2, 16, 2, 13), marked(9)):
        mirror.replay(*entry)
    mirror.replayed(Place(2, 16))
    assert (mirror.floor, mirror.head) == (9, 16)
    assert text(read(mirror, 9)) == numbers(15, 8)
    assert mirror.refusal(Cursor(1, 8)) == "expired"
    assert mirror.refusal(Cursor(1, 9)) is None


def test_what_comes_before_a_hole_is_given_up() -> None:
    """A cursor never skips: before the hole it has expired."""
    mirror = mirror_of()
    for entry in (marked(1), started(1, 1), said(1, 5, 4, 0), said(1, 12, 2, 9), marked(9)):
        mirror.replay(*entry)
    mirror.replayed(Place(1, 12))
    assert (mirror.floor, text(read(mirror, 10))) == (10, numbers(11, 9))
    assert mirror.refusal(Cursor(1, 5)) == "expired"
    assert mirror.answer is None


def test_text_that_is_there_twice_is_taken_once() -> None:
    """An entry may begin with what is in the entry before: nothing is given up for it."""
    mirror = mirror_of()
    for entry in (marked(1), started(1, 1), said(1, 4, 3, 0), said(1, 6, 5, 0), said(1, 8, 3, 4), marked(9)):
        mirror.replay(*entry)
    mirror.replayed(Place(1, 8))
    assert (mirror.floor, mirror.head, text(read(mirror))) == (0, 8, numbers(7))
    assert mirror.answer is not None
    assert (mirror.answer.content, mirror.answer.tokens) == (numbers(7), 7)


def test_a_repair_that_broke_off_leaves_no_cut_beyond_it() -> None:
    """Cursors of what was not repaired stay refused, however far the log grows."""
    mirror = mirror_of()
    for entry in (
        said(1, 99, 1, 0),
        marked(2, Marker(0, [(1, 40)])),
        started(2, 1),
        said(2, 6, 5, 0),
        marked(9),
    ):
        mirror.replay(*entry)
    mirror.replayed(Place(2, 6))
    mirror.append_text(0, "token", "s2", 0, ["x"] * 100)
    assert mirror.cuts == {1: 6, 2: 6}
    assert mirror.refusal(Cursor(1, 6)) is None
    assert mirror.refusal(Cursor(1, 30)) == "epoch"


@pytest.mark.parametrize(
    ("field", "value"),
    [(b"later", b"\x90"), (b"t", b"\xc1"), (b"m", b"?"), (b"start", msgspec.msgpack.encode({"no": 1}))],
)
def test_what_cannot_be_read_is_a_hole(field: bytes, value: bytes) -> None:
    """An entry of a later version, or of somebody else: numbers go on after it."""
    mirror = mirror_of()
    mirror.replay(*said(1, 3, 3, 0))
    mirror.replay(Place(1, 4), field, value)
    mirror.replay(*said(1, 6, 2, 4))
    mirror.replayed(Place(1, 6))
    assert (mirror.floor, mirror.head) == (4, 6)


def test_numbers_of_an_emptied_stream_go_on() -> None:
    """A deleted session left its last id only."""
    mirror = mirror_of()
    mirror.replay(*marked(9))
    mirror.replayed(Place(3, 17))
    assert (mirror.floor, mirror.head) == (17, 17)
    assert mirror.refusal(Cursor(3, 16)) == "expired"
    assert mirror.refusal(Cursor(3, 18)) == "epoch"


def test_what_a_stream_lost_is_given_back_in_parts() -> None:
    """Each about as large as was asked for, with the pieces as they were, from the middle of a segment on."""
    mirror = mirror_of()
    mirror.replay(*started(1, 1))
    for number in range(1200):
        mirror.replay(*said(1, number + 2, 1, number))
    after, got = 101, []
    while records := mirror.records(after, 10_000):
        assert records[0].first == after + 1
        assert all(one.last + 1 == two.first for one, two in pairwise(records))
        after = records[-1].last
        got += [piece for record in records for piece in record.texts]
    assert got == [f"{number} " for number in range(100, 1200)]
