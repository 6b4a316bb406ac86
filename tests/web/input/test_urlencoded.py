"""Forms as `application/x-www-form-urlencoded`."""

from __future__ import annotations

import tracemalloc
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.input import urlencoded

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=20))
def test_what_a_browser_encodes_is_read_again(fields: list[tuple[str, str]]) -> None:
    """Any names and values, in their order."""
    encoded = urlencode(fields).encode()
    assert list(urlencoded.parse(encoded)) == fields


@given(st.text("ab%+&=0cf", max_size=40))
def test_odd_escapes_are_read_as_the_standard_library_reads_them(text: str) -> None:
    """An incomplete escape stands for itself."""
    try:
        expected = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            list(urlencoded.parse(text.encode()))
        return
    assert list(urlencoded.parse(text.encode())) == expected


def test_an_escape_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a piece ends."""
    text = "é%ü 100% " * 20
    for piece in range(4, 30):
        monkeypatch.setattr(urlencoded, "PIECE", piece)
        assert dict(urlencoded.parse(urlencode({"text": text}).encode())) == {"text": text}


def test_too_many_fields_are_refused() -> None:
    """Before any of them is decoded."""
    with pytest.raises(ValueError, match="too many"):
        list(urlencoded.parse(b"a=1&" * 200))


@pytest.mark.slow
def test_escapes_cost_little_memory() -> None:
    """A form of escapes alone takes a few times its size to decode, not a hundred times."""
    encoded = b"text=" + b"%61" * 500_000
    tracemalloc.start()
    try:
        [(_, value)] = urlencoded.parse(encoded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert value == "a" * 500_000
    assert peak < 6 * len(encoded)
