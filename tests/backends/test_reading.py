"""Reading answers tolerantly: bytes cut anywhere, fields dropped or mistyped, characters cut in two, endless junk."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.backends.decoding.decoder import Decoder
from app.backends.errors.mapper import ErrorMapper
from app.backends.ollama.decoder import OllamaDecoder
from app.backends.openai.decoder import OpenAIDecoder
from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamTruncated
from tests.doubles.raw import cut

PATIENT = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)  # the machine may be busy
CUTS = st.lists(st.integers(min_value=0, max_value=600), max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=True) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
# What a text may be made of. White space at either end and a tag at its beginning are tested apart.
TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), min_size=1, max_size=5
)


def openai() -> OpenAIDecoder:
    return OpenAIDecoder(ErrorMapper("It"))


def ollama() -> OllamaDecoder:
    return OllamaDecoder(ErrorMapper("It"))


def read(decoder: Decoder, pieces: list[bytes]) -> tuple[str, str]:
    """Feed the pieces, and return text and reasoning. Raises `UpstreamError`."""
    for piece in pieces:
        decoder.feed(piece)
    if not decoder.done:
        decoder.flush()
    deltas = decoder.take()
    return tuple(  # type: ignore[return-value]
        "".join(text for delta in deltas if delta.kind == kind for text in delta.texts)
        for kind in ("token", "reasoning")
    )


def event(value: Any, end: str = "\n\n") -> str:
    return f"data: {json.dumps(value)}{end}"


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


STREAM = (
    "\ufeff: hello\r\n\r\nretry: 10\nid: 1\r\n"
    + event(chunk({"role": "assistant", "content": ""}))
    + event(chunk({"content": "<think>\nWell 😀"}))
    + "event: ping\ndata: alive\n\n"
    + event(chunk({"content": " \n</think>\n\n"}), "\r\n")
    + event(chunk({"content": "Grüße \ud83d"}), "\r\r")
    + event(chunk({"content": "\ude00 und"}), "\n")
    + "data: " + json.dumps(chunk({"content": " 日本"}), indent=1).replace("\n", "\ndata: ") + "\n\n"
    + event(chunk({"content": "語"}, "stop"))
    + event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    + "data: [DONE]\n\n"
).encode()  # fmt: skip
LINES = "".join(
    json.dumps(line, ensure_ascii=escaped) + "\n"
    for escaped, line in [
        (True, {"message": {"content": "<thi"}, "done": False}),
        (True, {"message": {"content": "nk>Well 😀</think>"}, "done": False}),
        (False, {"message": {"role": "assistant", "content": "\n\nGrüße"}, "done": False}),
        (True, {"message": {"content": " \ud83d"}, "created_at": None}),
        (True, {"message": {"content": "\ude00"}, "done": None}),
        (True, {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}),
    ]
).encode()


@PATIENT
@given(cuts=CUTS)
def test_events_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    """All line ends, comments, a byte order mark, one newline between events, several data lines, cut anywhere."""
    decoder = openai()
    assert read(decoder, cut(STREAM, cuts)) == ("Grüße 😀 und 日本語", "Well 😀")
    assert (decoder.done, decoder.finish_reason) == (True, "stop")
    assert decoder.usage is not None
    assert decoder.usage.completion_tokens == 2


@PATIENT
@given(cuts=CUTS)
def test_lines_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    """Ollama's lines, with a tag, a character and a line cut anywhere."""
    decoder = ollama()
    assert read(decoder, cut(LINES, cuts)) == ("Grüße 😀", "Well 😀")
    assert decoder.finish_reason == "stop"


def spoilt(value: Any, keep: set[str], draw: Callable[[Any], Any]) -> Any:
    """Return the value with other fields dropped, mistyped or added at random. Those to `keep` stay as they are."""
    if not isinstance(value, dict):
        return value
    made = {}
    for name, inner in value.items():
        if name in keep:
            made[name] = [spoilt(each, keep, draw) for each in inner] if isinstance(inner, list) else (
                spoilt(inner, keep, draw)
            )  # fmt: skip
        elif draw(st.booleans()):
            made[name] = draw(ANYTHING)
    return made


USELESS = {
    "id": "c", "object": "x", "created": 1, "model": "m", "usage": {"prompt_tokens": 1}, "system_fingerprint": None,
    "logprobs": {}, "index": 0, "role": "assistant", "prompt_filter_results": [], "total_duration": 7,
    "eval_count": 3, "prompt_eval_count": 3, "created_at": "now", "images": None, "timings": {},
}  # fmt: skip
KEPT = {"choices", "delta", "message", "content", "finish_reason", "done", "done_reason"}


@pytest.mark.slow
@PATIENT
@given(data=st.data(), texts=TEXTS)
def test_no_field_that_nobody_needs_costs_an_answer(data: st.DataObject, texts: list[str]) -> None:
    """Whatever the other fields hold, the text arrives whole."""
    useless = {name: value for name, value in USELESS.items() if name != "index"}

    def said(text: str, reason: str | None = None) -> str:
        inner = {**useless, "delta": {**useless, "content": text}, "finish_reason": reason}
        return event(spoilt({**useless, "choices": [inner]}, KEPT, data.draw))

    whole = "x" + "".join(texts)  # so that no tag and no white space begins it
    stream = said("x") + "".join(map(said, texts)) + said("", "stop") + "data: [DONE]\n\n"
    assert read(openai(), [stream.encode("utf-8", "surrogatepass")]) == (whole, "")


@pytest.mark.slow
@PATIENT
@given(data=st.data(), texts=TEXTS)
def test_no_field_that_nobody_needs_costs_an_answer_of_ollama(data: st.DataObject, texts: list[str]) -> None:
    """Whatever the other fields hold, the text arrives whole."""

    def said(text: str, done: bool = False) -> str:
        line = {**USELESS, "message": {"role": "assistant", "content": text}, "done": done}
        return json.dumps(spoilt(line, KEPT, data.draw)) + "\n"

    whole = "x" + "".join(texts)
    stream = said("x") + "".join(map(said, texts)) + said("", done=True)
    assert read(ollama(), [stream.encode("utf-8", "surrogatepass")]) == (whole, "")


@PATIENT
@given(
    values=st.lists(ANYTHING | st.dictionaries(st.sampled_from([*KEPT, "error", "text"]), ANYTHING)),
    cuts=CUTS,
)
def test_any_json_is_read_or_refused(values: list[Any], cuts: list[int]) -> None:
    """Nothing that is JSON raises anything but `UpstreamError`."""
    for decoder, data in (
        (openai(), "".join(map(event, values))),
        (ollama(), "".join(json.dumps(value) + "\n" for value in values)),
    ):
        try:
            read(decoder, cut(data.encode("utf-8", "surrogatepass"), cuts))
        except UpstreamError as error:
            words = str(error)
        else:
            words = ""
        assert words.isprintable()


JUNK = [
    *(
        b"data: ",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\n",
        b"\r",
        b"<",
        b"a",
        b":",
        b",",
        b"event: error",
        b"[DONE]",
    ),
    *(b'{"choices":[{"delta":{"content":"x"}}]}', b"\xff", b"\xed\xa0\x80", b"\\ud83d"),
]


@PATIENT
@given(data=st.lists(st.sampled_from(JUNK)))
def test_any_bytes_are_read_or_refused(data: list[bytes]) -> None:
    """Nothing that comes over a connection raises anything but `UpstreamError`, and what is read can be encoded."""
    for decoder in (openai(), ollama()):
        try:
            text, reasoning = read(decoder, data)
        except UpstreamError:
            text = reasoning = "".join(text for delta in decoder.take() for text in delta.texts)
        (text + reasoning).encode()


@PATIENT
@given(text=st.text(st.sampled_from("ab \n<>/thinkéß😀日"), max_size=30), cuts=CUTS)
def test_characters_cut_in_two_are_joined(text: str, cuts: list[int]) -> None:
    """Between UTF-16 halves and between bytes of UTF-8: the text is the same as without the cuts."""
    halves = text.encode("utf-16-le")
    places = [2 * place for place in cuts]
    pieces = [piece.decode("utf-16-le", "surrogatepass") for piece in cut(halves, places)]
    stream = "".join(event(chunk({"content": piece})) for piece in ["x", *pieces]) + "data: [DONE]\n\n"
    assert read(openai(), [stream.encode()]) == ("x" + text, "")

    safe = text.replace("\n", " ").encode()
    raw = [b'{"message":{"content":"%s"}}\n' % piece for piece in cut(safe, cuts)]
    end = b'{"message":{"content":""},"done":true}\n'
    assert read(ollama(), [b'{"message":{"content":"x"}}\n', *raw, end]) == ("x" + safe.decode(), "")


@PATIENT
@given(
    before=st.text(" \n", max_size=3),
    thought=st.text("ab <>/think\n", max_size=20),
    after=st.text(" \n", max_size=3),
    answer=st.text("ab <>/think\n", max_size=20),
    cuts=CUTS,
)
def test_thoughts_do_not_depend_on_the_cuts(
    before: str, thought: str, after: str, answer: str, cuts: list[int]
) -> None:
    """A leading `<think>…</think>` is reasoning, trimmed, however it was cut; what follows is the answer."""
    whole = f"{before}<think>{thought}</think>{after}x{answer}"
    pieces = [piece.decode() for piece in cut(whole.encode(), cuts)]
    stream = "".join(event(chunk({"content": piece})) for piece in pieces) + "data: [DONE]\n\n"
    found, _, rest = f"{thought}</think>".partition("</think>")
    assert read(openai(), [stream.encode()]) == (
        f"{rest}{after}x{answer}".lstrip() if rest else f"x{answer}",
        found.strip(),
    )


def test_a_continued_answer_has_no_tags() -> None:
    """What an answer goes on with is none of its beginning."""
    decoder = OpenAIDecoder(ErrorMapper("It"), begins=False)
    stream = event(chunk({"content": " <think>a</think>"})) + "data: [DONE]\n\n"
    assert read(decoder, [stream.encode()]) == (" <think>a</think>", "")


@pytest.mark.slow
@pytest.mark.parametrize("decoder", [openai, ollama])
@pytest.mark.parametrize(
    "junk",
    [
        b"data: {\n",
        b"{\n",
        b"data: x\n",
        b"x\n",
        b"data: [\n",
        b"\n",
        b": x\n",
        b"event: x\n",
        b"<x\n",
        b"}\n",
    ],
)
def test_endless_junk_costs_linear_time(decoder: Callable[[], Decoder], junk: bytes) -> None:
    """The last lines of many that never make an answer cost no more than the first."""
    reader = decoder()

    def seconds() -> float:
        begun = time.process_time()
        reader.feed(junk * 1000)
        return time.process_time() - begun

    with contextlib.suppress(UpstreamError):  # that some of it is refused at once is as good
        first = max(seconds(), 0.002)
        rest = [seconds() for _ in range(30)]
        assert min(rest[-5:]) < 10 * first


@pytest.mark.parametrize("begin", [b"data: {", b"{"])
def test_a_value_in_lines_has_a_limit(begin: bytes) -> None:
    """Lines that may become one value are held up to the size of the largest value that is decoded."""
    reader = openai()
    line = begin + b"x" * 1_000_000 + b"\n"
    with pytest.raises(UpstreamGarbled, match="more than 4,194,304 bytes"):
        read(reader, [line] * 20)


def test_an_array_of_values_has_a_limit_of_parts() -> None:
    """All values of an array are processed in one step of the loop, so their parts count together."""
    value = {"choices": [{"delta": {"content": ["a"] * 120}}]}
    reader = openai()
    reader.feed(event([value] * 80).encode())
    assert sum(len("".join(delta.texts)) for delta in reader.take()) == 9600
    with pytest.raises(UpstreamGarbled, match="too much"):
        openai().feed(event([value] * 90).encode())


def test_a_truncation_is_none_after_the_reason() -> None:
    """Without an end mark a reason is enough; without either the answer broke off."""
    assert read(openai(), [(event(chunk({"content": "Hi"}, "stop"))).encode()]) == ("Hi", "")
    with pytest.raises(UpstreamTruncated, match="broke off"):
        read(openai(), [event(chunk({"content": "Hi"})).encode()])


@pytest.mark.parametrize(
    ("decoder", "begin", "rest"),
    [
        (openai, event(chunk({"content": "Hi"})), event(chunk({"content": ' {there} ["you'}))),
        (ollama, '{"message":{"content":"Hi"}}\n', '{"message":{"content":" {there} [\\"you"}}\n'),
    ],
)
@pytest.mark.parametrize("broken", [True, False])
def test_an_answer_that_ends_anywhere_broke_off(
    decoder: Callable[[], Decoder], begin: str, rest: str, broken: bool
) -> None:
    """Also within an event: the connection may end at any byte."""
    for end in range(len(rest) + 1):
        reader = decoder()
        reader.feed((begin + rest[:end]).encode())
        with pytest.raises(UpstreamTruncated, match="broke off"):
            reader.flush(broken=broken)
        assert "".join(text for delta in reader.take() for text in delta.texts).startswith("Hi")


@pytest.mark.parametrize("last", ["data: {hello}", "data: {}]", '{"choices":]}'])
def test_what_is_no_json_is_unreadable_at_the_end_too(last: str) -> None:
    """It would not be JSON with more of it either."""
    reader = openai()
    reader.feed(event(chunk({"content": "Hi"})).encode() + last.encode())
    with pytest.raises(UpstreamGarbled, match="unreadable"):
        reader.flush()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [b'{"message":{}}\n', b'{"message":{"thinking":"x"}}\n', b'{"message":{"content":1}}\n', b'{"done":0}\n'],
)
def test_many_lines_at_once_cost_linear_time(line: bytes) -> None:
    """Lines that say nothing are read one by one, not all of them again for each."""

    def seconds(lines: int) -> float:
        reader = ollama()
        begun = time.process_time()
        reader.feed(line * lines)
        return time.process_time() - begun

    small = max(min(seconds(1_000) for _ in range(5)), 0.001)
    assert min(seconds(16_000) for _ in range(2)) < 16 * 5 * small


@pytest.mark.parametrize("space", ["", " ", "\r", "\n", "\n\n", " \r\n\t"])
def test_white_space_within_values(space: str) -> None:
    """JSON may have it anywhere between its marks, and a line end is white space, too."""
    values = [
        {"message": {"content": "So"}},
        {"message": {"content": ""}},
        {"message": {"thinking": "hm"}},
        {"message": {"content": " be it"}},
        {"message": {"content": ""}, "done": True},
    ]
    text = "".join(f"{json.dumps(value).replace(', ', f',{space}')}{space}\n" for value in values)
    pretty = text.replace("{", "{" + space)
    assert read(ollama(), [pretty.encode()]) == ("So be it", "hm")
