"""Lists of models as servers write them: no entry is lost to a field that nobody needs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.backends.json_values import listing
from app.backends.ollama.backend import OllamaBackend
from app.backends.ollama.models import read_shown, read_tags
from app.backends.openai.backend import OpenAIBackend
from app.backends.openai.models import read_models
from app.chat.errors import UpstreamError, UpstreamGarbled, UpstreamRejected, UpstreamUnauthorized
from tests.doubles.raw import RawDouble

# The machine may be busy.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FORMS: list[Any] = [lambda found: found, lambda found: {"data": found}, lambda found: {"models": found}]


def names(value: Any) -> list[str]:
    return [entry.name for entry in read_models(msgspec.json.encode(value))]


@pytest.mark.parametrize("form", FORMS, ids=["bare", "data", "models"])
def test_forms(form: Any) -> None:
    """A list comes bare, under `data` or under `models`; a bad entry is left out and the others stay."""
    found = [
        {"id": "a", "owned_by": None},
        None,
        7,
        {"id": 7},
        {"name": "b"},
        "c",
        {},
        {"id": "d", "meta": 1},
    ]
    assert names(form(found)) == ["a", "b", "c", "d"]
    tags = [{"name": "a", "digest": None}, None, {"model": "b"}, {"name": 1}]
    assert [tag.name for tag in read_tags(msgspec.json.encode(form(tags)))] == ["a", "b"]


@pytest.mark.parametrize("empty", [None, [], {"data": None}, {"models": None}, {"data": []}])
def test_nothing_listed(empty: Any) -> None:
    """Null is a list without models."""
    assert names(empty) == []
    assert read_tags(msgspec.json.encode(empty)) == []


@pytest.mark.parametrize(
    "content",
    [b"{}", b'{"error": "no"}', b"7", b'"x"', b"<html>", b"", b"[" * 100_000, b'{"data":' * 100_000],
)
def test_no_list(content: bytes) -> None:
    """What is no list is refused with `ValueError`, however deep it is nested."""
    for read in (read_models, read_tags):
        with pytest.raises(ValueError):  # noqa: PT011  # whichever: its message is not shown
            read(content)


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b'{"error": "Unexpected endpoint"}', UpstreamRejected, "Unexpected endpoint"),
        (b'{"detail": "Not Found"}', UpstreamRejected, "Not Found"),
        (b'{"code": 401, "msg": "No such key"}', UpstreamUnauthorized, "No such key"),
        (
            b"<html><title>Router</title></html>",
            UpstreamGarbled,
            "sent a web page instead of an answer: Router",
        ),
        (b"<?xml version='1.0'?><Error><Message>Full</Message></Error>", UpstreamRejected, "Full"),
        (b"{}", UpstreamGarbled, "unreadable reply"),
        (b"[" * 100_000, UpstreamGarbled, "unreadable reply"),
    ],
)
async def test_what_came_in_the_place_of_a_list_is_told(
    body: bytes, error: type[UpstreamError], said: str
) -> None:
    """As it is for an answer: the server's own words, or what it is."""
    async with RawDouble() as server:
        server.listed = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)) + body
        for backend in (OpenAIBackend(server.url), OllamaBackend(server.url)):
            try:
                with pytest.raises(error, match=said):
                    await backend.models()
            finally:
                await backend.aclose()


def test_context() -> None:
    """The context is whichever number the server says, in whichever way it writes it."""
    entries = [
        {"id": "vllm", "max_model_len": 2048.0},
        {"id": "llama", "meta": {"n_ctx": 1024}, "max_model_len": None},
        {"id": "none", "max_model_len": "8k", "meta": []},
        {"id": "zero", "max_model_len": 0},
    ]
    assert [each.context for each in read_models(msgspec.json.encode(entries))] == [2048, 1024, None, None]


@PATIENT
@given(
    mess=st.dictionaries(
        st.sampled_from(["owned_by", "max_model_len", "meta", "created", "object"]), ANYTHING
    )
)
def test_other_fields_cost_no_model(mess: dict[str, Any]) -> None:
    """Whatever the other fields hold, the model is listed."""
    assert names({"data": [{**mess, "id": "a"}, {"id": "b"}]}) == ["a", "b"]


@PATIENT
@given(
    shown=ANYTHING
    | st.fixed_dictionaries({"capabilities": ANYTHING, "parameters": ANYTHING, "model_info": ANYTHING})
)
def test_details_never_fail(shown: Any) -> None:
    """What is told of a model helps where it can be read, and does no harm where it cannot."""
    about = read_shown(msgspec.json.encode(shown))
    assert about.chats in (True, False)
    assert about.configured_context is None


def test_details() -> None:
    """The context comes from the model's file and from what it was trained for."""
    shown = {
        "parameters": "stop  x\r\nnum_ctx    4096\r\n",
        "model_info": {"a.context_length": 9.0, "b": None},
    }
    about = read_shown(msgspec.json.encode(shown))
    assert (about.configured_context, about.trained_context, about.sees) == (4096, 9, None)


def test_listing_prefers_data() -> None:
    """Where a server sends the list twice, once is enough."""
    assert listing({"data": ["a"], "models": ["b"]}) == ["a"]
    assert listing({"data": None, "models": ["b"]}) == ["b"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"template":"%b"}' % (b"x" * 512 * 1024),
        b'{"model_info":[%b{}]}' % (b"{}," * 20_000),
        b'{"capabilities":[%b"x"]}' % (b'"a",' * 70_000),
    ],
    ids=["long", "objects", "items"],
)
def test_details_that_are_too_large(content: bytes) -> None:
    """They are weighed before they are decoded."""
    with pytest.raises(ValueError, match="too large"):
        read_shown(content)


def test_the_largest_details() -> None:
    """Those of a large model, with its licence and the shapes of its tensors, are read."""
    tensors = [
        {"name": f"blk.{each}.weight", "type": "Q4_K", "shape": [7168, 2048, 256]} for each in range(2000)
    ]
    shown = {"license": "x" * 100_000, "tensors": tensors, "model_info": {"a.context_length": 4096}}
    assert read_shown(msgspec.json.encode(shown)).trained_context == 4096
