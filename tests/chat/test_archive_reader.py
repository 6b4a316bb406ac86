"""Exported sessions read in pieces: whatever comes is either understood or refused with a sentence."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat import archive_reader
from app.chat.archive import Archive, ArchivedImage, flaw
from app.chat.archive_reader import ArchiveReader, BadArchive, Batch, Limits
from app.chat.archive_splitter import DEPTH, REST_BYTES
from tests.history.archives import archive, archives, renamed

BOUNDS = Limits(part=100_000, text=50_000)
NOW = "2026-06-01T00:00:00.000+00:00"


def accept(_: ArchivedImage) -> None:
    """Any image."""


def read(data: bytes, size: int = 2**20) -> tuple[Archive, Batch]:
    """Read a file that arrives in pieces of `size` bytes. Raises `BadArchive`."""
    names = (f"image-{number}" for number in itertools.count())
    reader = ArchiveReader(BOUNDS, check_image=accept, new_id=lambda: next(names), now=NOW)
    batches = [reader.take(data[begin : begin + size]) for begin in range(0, len(data), size)]
    whole, last = reader.finish()
    batches.append(last)
    every = Batch(
        [message for batch in batches for message in batch.messages],
        [stream for batch in batches for stream in batch.streams],
    )
    assert reader.messages == len(every.messages)
    return whole, every


def same(one: Archive, other: Archive) -> bool:
    """Whether two sessions are the same but for their ids."""
    names = (f"n{number}" for number in itertools.count())
    again = (f"n{number}" for number in itertools.count())
    return renamed(one, lambda: next(names)) == renamed(other, lambda: next(again))


@pytest.mark.slow
@settings(deadline=None)
@given(kept=archives(), size=st.integers(1, 300), indent=st.sampled_from([None, 0, 2]))
def test_a_session_is_read_however_its_bytes_arrive(kept: Archive, size: int, indent: int | None) -> None:
    """All of it, in its order, under new ids that fit together."""
    plain = msgspec.structs.replace(kept, keys=[], title="One line")
    data = json.dumps(json.loads(msgspec.json.encode(plain)), indent=indent, ensure_ascii=size % 2 == 0)
    whole, batch = read(data.encode(), size)
    found = msgspec.structs.replace(whole, messages=batch.messages, streams=batch.streams)
    assert flaw(found) is None
    assert same(found, plain)
    old = {message.message_id for message in plain.messages} | {stream.stream_id for stream in plain.streams}
    assert not old & {message.message_id for message in found.messages}
    assert not old & {stream.stream_id for stream in found.streams}


def text(**changes: Any) -> str:
    """An export with other members."""
    return json.dumps({**json.loads(msgspec.json.encode(archive(keys=[]))), **changes})


def nested(depth: int) -> str:
    """Brackets in brackets."""
    return "[" * depth + "]" * depth


WHOLE = text()
MEMBER = WHOLE[:-1]  # to be gone on with
BROKEN = {
    "deep unknown member": MEMBER + f', "x": {nested(100_000)}}}',
    "deep unknown object": MEMBER + ', "x": ' + '{"x":' * 5000 + "1" + "}" * 5000 + "}",
    "deep in a message": text(messages=[{"x": json.loads(nested(DEPTH))}]),
    "deeper than an element": MEMBER.replace('"messages": [', f'"messages": [{nested(5000)}, '),
    "endless": "[" * 100_000,
    "huge number": MEMBER + ', "version": ' + "9" * 10_000 + "}",
    "huge number in a stream": WHOLE.replace('"tokens": 2', '"tokens": ' + "9" * 5_000, 1),
    "huge exponent": WHOLE.replace('"tokens": 2', '"tokens": 1e99999', 1),
    "huge unknown number": MEMBER + ', "x": ' + "9" * 10_000 + ', "version": 2}',
    "list twice": MEMBER + ', "messages": []}',
    "list twice, escaped": MEMBER + ', "\\u006dessages": [{}]}',
    "list of numbers": text(messages=[1, 2]),
    "list of strings": text(messages=["{"]),
    "list of lists": text(streams=[[]]),
    "list that is an object": text(messages={}),
    "no comma": WHOLE.replace("}, {", "} {"),
    "two commas": WHOLE.replace("}, {", "},, {"),
    "last comma": WHOLE.replace("}]", "},]", 1),
    "wrong bracket": WHOLE[:-1] + "]",
    "bracket too many": WHOLE + "}",
    "second value": WHOLE + WHOLE,
    "text behind": WHOLE + "x",
    "text before": "x" + WHOLE,
    "byte order mark": "\ufeff" + WHOLE,
    "null": "null",
    "string": '"{}"',
    "empty": "",
    "blank": " \n",
    "open string": WHOLE[:-1] + ', "x": "',
    "large unknown member": MEMBER + ', "x": "' + "x" * (REST_BYTES + 1) + '"}',
    "large message": text(messages=[{"x": "x" * (BOUNDS.part + 1)}]),
    "long text": text(messages=[{**json.loads(WHOLE)["messages"][0], "content": "x" * (BOUNDS.text + 1)}]),
    "many small members": MEMBER + "".join(f', "x{number}": []' for number in range(100_000)) + "}",
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("size", [1000, 2**20])
def test_what_is_no_export_is_refused(kind: str, size: int) -> None:
    """With one sentence, whatever is wrong with it."""
    with pytest.raises(BadArchive) as refused:
        read(BROKEN[kind].encode(), size)
    assert str(refused.value)
    assert len(str(refused.value)) < 300


def prompt_of(**changes: Any) -> dict[str, Any]:
    """The first message, without its images, and with other members."""
    return {**json.loads(WHOLE)["messages"][0], "images": [], **changes}


CHOOSE = "Choose a file saved with “Export as JSON”."
SENTENCES = {
    '{"x": 1}': f"This isn't a Tailrace export. {CHOOSE}",
    '{"title": 7}': f"This isn't a Tailrace export. {CHOOSE}",
    text(kind="other"): f"This isn't a Tailrace export. {CHOOSE}",
    "[]": f"This isn't a Tailrace export. It must be an object. {CHOOSE}",
    text(
        version=2
    ): "This export is of a newer version of Tailrace. Update this server, then import it again.",
    text(
        title=7
    ): "This isn't a Tailrace export, or it was changed: `title` is invalid. Export the chat again.",
    text(options={"stop": [1]}): (
        "This isn't a Tailrace export, or it was changed: `options.stop[0]` is invalid. Export the chat again."
    ),
    text(messages=[{}]): (
        "This isn't a Tailrace export, or it was changed: `messages[0].message_id` is missing. Export the chat again."
    ),
    text(messages=[prompt_of(), prompt_of(images=[{}])]): (
        "This isn't a Tailrace export, or it was changed: `messages[1].images[0].image_id` is missing. "
        "Export the chat again."
    ),
    text(messages=[prompt_of(role="system\n - at `$.x`")]): (
        "This isn't a Tailrace export, or it was changed: `messages[0].role` is invalid. Export the chat again."
    ),
    text(created_at="2026-02-30T00:00:00Z"): (
        "This isn't a Tailrace export, or it was changed: `2026-02-30T00:00:00Z` is no date. Export the chat again."
    ),
    "not json": f"The file isn't valid JSON. It doesn't begin with `{{`. {CHOOSE}",
    "x" + WHOLE: f"The file isn't valid JSON. It doesn't begin with `{{`. {CHOOSE}",
    " \n": f"The file isn't valid JSON. It is empty. {CHOOSE}",
    WHOLE[:-1]: "The file isn't valid JSON. It ends too early. Export the chat again.",
    "{x}": "The file isn't valid JSON. Export the chat again.",
    WHOLE.replace('"tokens": 2', '"tokens": two', 1): "The file isn't valid JSON. Export the chat again.",
}


@pytest.mark.parametrize("data", SENTENCES)
def test_what_is_wrong_and_what_to_do_is_said(data: str) -> None:
    """In plain words, for somebody who has chosen the wrong file as for somebody who has written one."""
    with pytest.raises(BadArchive) as refused:
        read(data.encode())
    assert str(refused.value) == SENTENCES[data]


@pytest.mark.parametrize(
    "time",
    [
        "9999-99-99T99:99:99.1Z",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
@pytest.mark.parametrize("place", ["session", "message", "stream"])
def test_a_time_is_a_date(time: str, place: str) -> None:
    """Whatever else has its form."""
    whole = json.loads(WHOLE)
    record = {"session": whole, "message": whole["messages"][0], "stream": whole["streams"][0]}[place]
    record["created_at"] = time
    with pytest.raises(BadArchive):
        read(json.dumps(whole).encode())


def test_no_time_is_in_the_future() -> None:
    """A chat of next year would be the first of the list until then."""
    whole = json.loads(WHOLE)
    for record in (whole, whole["messages"][0], whole["streams"][0]):
        record["created_at"] = "2027-01-01T00:00:00.1Z"
    kept, batch = read(json.dumps({**whole, "updated_at": "9999-12-31T23:59:59Z"}).encode())
    assert (kept.created_at, kept.updated_at) == (NOW, NOW)
    assert (batch.messages[0].created_at, batch.streams[0].created_at) == (NOW, NOW)
    assert batch.messages[1].created_at == whole["messages"][1]["created_at"]


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("  a\r\nb\t c ", "a b c"),
        ("\0", "\ufffd"),
        ("", "Why is the sky blue?"),
        ("  \n", "Why is the sky blue?"),
    ],
)
def test_a_title_is_one_line(title: str, kept: str) -> None:
    """As that of every chat is. A blank one begins as that of a new chat does."""
    answer = prompt_of(message_id="a", role="assistant", content="No", stream_id=None)
    asked = prompt_of(message_id="b", content="Why is\nthe sky blue?", stream_id=None)
    more = prompt_of(message_id="c", content="More", stream_id=None)
    whole, _ = read(text(title=title, messages=[answer, asked, more]).encode())
    assert whole.title == kept


def test_a_chat_without_prompts_may_have_no_title() -> None:
    """The page calls it "Untitled"."""
    assert read(text(title=" ", messages=[], streams=[]).encode())[0].title == ""


def test_other_members_are_ignored() -> None:
    """An export of a later version may have more."""
    more = (
        MEMBER + f', "x": {nested(DEPTH - 1)}, "y": {{"messages": [1], "streams": "]"}}, "messagesx": [1]}}'
    )
    whole, batch = read(more.encode())
    assert len(batch.messages) == len(json.loads(WHOLE)["messages"])
    assert whole.title == json.loads(WHOLE)["title"]


def test_escaped_names_are_names() -> None:
    """A list may be spelled as JSON allows."""
    _, batch = read(WHOLE.replace('"messages"', '"\\u006dessages"').encode())
    assert len(batch.messages) == len(json.loads(WHOLE)["messages"])


def test_the_number_of_messages_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that of streams."""
    monkeypatch.setattr(archive_reader, "MOST_RECORDS", 2)
    with pytest.raises(BadArchive, match="too many messages"):
        read(WHOLE.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@settings(deadline=None)
@given(data=st.data())
def test_a_value_of_another_type_is_refused_or_fits(data: st.DataObject) -> None:
    """Anywhere in the file."""
    whole = json.loads(WHOLE)
    place: Any = whole
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    with suppress(BadArchive):
        read(json.dumps(whole).encode(), data.draw(st.integers(1, 500)))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_bytes_are_refused_or_fit(data: st.DataObject) -> None:
    """Cut, doubled, and with other bytes in between."""
    whole = WHOLE.encode()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(0, len(whole)))
    between = data.draw(st.binary(max_size=8) | st.sampled_from([b'"', b"{", b"]", b"\\", b"[[", b'\\"']))
    with suppress(BadArchive):
        read(whole[:begin] + between + whole[end:], data.draw(st.integers(1, 500)))
