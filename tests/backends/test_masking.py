"""Secrets that a model server repeats, in whatever form and cut anywhere, are masked; everything else stays."""

from __future__ import annotations

import base64
import itertools
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backends.errors.masking import Masking, Secrets
from app.backends.errors.redaction import MARK, Redaction
from app.backends.errors.secret_forms import bare, begins, mixed
from app.backends.http.secrets import configured_secrets
from app.chat.ports import Delta, Kind

KEY = "sk-proj-A1b2C3d4E5f6G7h8/I9j0+K2"
SHORT = "s3cret-Key9"
WORDS = "correct-horse"  # letters alone: only as it is written
FORMS = {
    "plain": KEY,
    "lower": KEY.lower(),
    "URL": quote(KEY, safe=""),
    "URL twice": quote(quote(KEY, safe=""), safe=""),
    "URL, all of it": "".join(f"%{ord(char):02X}" for char in KEY),
    "JSON": json.dumps(KEY)[1:-1],
    "JSON, all of it": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "Base64": base64.b64encode(KEY.encode()).decode(),
    "Base64 in a header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "Base64 of a pair": base64.b64encode(f"me:{KEY}:x".encode()).decode(),
    "Base64 for URLs": base64.urlsafe_b64encode(f"1{KEY}".encode()).decode(),
    "hexadecimal": KEY.encode().hex(" "),
    "HTML": "".join(f"&#{ord(char)};" for char in KEY),
    "HTML, padded": "".join(f"&#{ord(char):07};" for char in KEY),
    "HTML, hexadecimal": "".join(f"&#x{ord(char):04x};" for char in KEY),
    "HTML, one of them": KEY.replace(KEY[7], f"&#{ord(KEY[7])};"),
    "HTML, every other one": "".join(
        char if place % 2 else f"&#x{ord(char):X};" for place, char in enumerate(KEY)
    ),
    "HTML, in all ways": "".join(
        (char, f"&#{ord(char)};", f"&#x{ord(char):04x};")[place % 3] for place, char in enumerate(KEY)
    ),
    "octal": "".join(f"\\{ord(char):03o}" for char in KEY),
    "octal numbers": ", ".join(map(oct, KEY.encode())),
    "hexadecimal numbers": ", ".join(map(hex, KEY.encode())),
    "Rust": "".join(f"\\u{{{ord(char):x}}}" for char in KEY),
    "Python": "".join(f"\\U{ord(char):08X}" for char in KEY),
    "Base64 twice": base64.b64encode(base64.b64encode(KEY.encode())).decode(),
    "Base32": base64.b32encode(KEY.encode()).decode(),
    "Base32 in a header": base64.b32encode(f"Bearer {KEY}".encode()).decode(),
    "full-width": "".join(chr(ord(char) + 0xFEE0) for char in KEY),
    "bold": "".join(chr(ord(char) - ord("a") + 0x1D41A) if char.islower() else char for char in KEY),
    "spread": " ".join(KEY),
    "lines": "\n".join(KEY),
    "invisible": "\u200b".join(KEY),
}


def masked(texts: list[str], *secrets: str, begun: str = "", kind: Kind = "token") -> list[str]:
    """Return what is left of texts that come one by one."""
    masking = Masking(Secrets(secrets), begun)
    deltas = [delta for text in texts for delta in masking.take([Delta(kind, [text])])]
    return [text for delta in [*deltas, *masking.flush()] for text in delta.texts]


def cut(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, size: int) -> None:
    """Every form is masked, however it is cut: at most a few characters of its start are shown."""
    echoed = FORMS[form]
    shown = "".join(masked(cut(f"Your key is {echoed}, isn't it?", size), KEY))
    assert shown.startswith("Your key is ")
    assert shown.endswith(", isn't it?")
    assert MARK in shown
    left = shown[len("Your key is ") : -len(", isn't it?")]
    assert len(left) <= len(echoed) // 2
    assert echoed[len(echoed) // 3 :] not in shown
    assert not Secrets([KEY]).are_in(shown)
    if size == 1000:
        assert KEY[:6] not in Redaction([KEY]).apply(echoed)


@settings(deadline=None)
@given(
    chars=st.lists(
        st.tuples(st.sampled_from("aZ5x0-é€😀"), st.sampled_from(["{}", "&#00000{:d};", "&#x00000{:X};"])),
        min_size=1,
    )
)
def test_a_coded_secret_is_known_by_each_of_its_beginnings(chars: list[tuple[str, str]]) -> None:
    """And by all of it; what begins or ends otherwise is another text."""
    secret = "".join(char for char, _ in chars)
    coded = bare("".join(form.format(char if form == "{}" else ord(char)) for char, form in chars))
    assert re.fullmatch(mixed(secret), coded)
    assert all(begins(coded[:end], secret) for end in range(len(coded) + 1))
    assert not begins(f"q{coded}", secret)
    assert not begins(f"{coded}q", secret)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("depth", [1, 2, 20])
def test_one_within_the_other(depth: int, size: int) -> None:
    """What is left around a secret is none, however many are nested."""
    half = len(KEY) // 2
    echoed = KEY[:half] * depth + KEY + KEY[half:] * depth
    shown = "".join(masked(cut(f"It is {echoed}.", size), KEY))
    assert not Secrets([KEY]).are_in(shown)
    assert bare(KEY) not in bare(Redaction([KEY]).apply(echoed))


@pytest.mark.parametrize("secret", [SHORT, WORDS])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_short_ones(secret: str, size: int) -> None:
    """Less of a short one is shown before it is recognised."""
    shown = "".join(masked(cut(f"({secret})", size), secret))
    assert shown in [f"({secret[:show]}{MARK})" for show in range(4)]


def test_words_are_no_secrets() -> None:
    """Letters alone count as they are written; a placeholder for a key, or a very short one, never does."""
    text = "The correct horse runs Ollama in LM Studio: no key required, abc."
    for secret in (WORDS, "ollama", "lm-studio", "sk-no-key-required", "abc", ""):
        assert masked(cut(text, 1), secret) == list(text)
        assert not Secrets([secret]).are_in(text)


@settings(deadline=None)
@given(
    texts=st.lists(st.sampled_from([*"sk-proj-A1b", " ", "é", "\n", KEY[:12], KEY[:20]]), max_size=20),
)
def test_other_texts_stay(texts: list[str]) -> None:
    """Starts of a key that do not go on are shown, piece by piece, in order."""
    whole = "".join(texts) + " and so on"
    if not Secrets([KEY]).are_in(whole):
        shown = masked([*texts, " and so on"], KEY)
        assert "".join(shown) == whole
        assert [text for text in shown if text] == [text for text in [*texts, " and so on"] if text]


@settings(deadline=None)
@given(
    before=st.text(max_size=30),
    after=st.text(max_size=30),
    cuts=st.lists(st.integers(min_value=0, max_value=100), max_size=20),
)
def test_text_around_it_stays(before: str, after: str, cuts: list[int]) -> None:
    """Before and after an echo nothing is lost."""
    whole = f"{before} {KEY} {after}"
    edges = sorted({0, len(whole), *(place for place in cuts if place < len(whole))})
    shown = "".join(masked([whole[start:end] for start, end in itertools.pairwise(edges)], KEY))
    assert shown.startswith(f"{before} ")
    assert shown.endswith(f" {after}")
    assert MARK in shown
    assert KEY[8:] not in shown


def test_pieces_stay_pieces() -> None:
    """Only the pieces of an echo are joined: each other one is a token of the model."""
    assert masked(["I ", "am ", KEY[:20], KEY[20:], " you"], KEY) == ["I ", "am ", MARK, " you"]
    assert masked(["a", KEY[:15], " b"], KEY) == ["a", KEY[:15], " b"]


def test_a_kind_of_its_own() -> None:
    """Reasoning between the pieces of an echo in the answer changes nothing, nor does an echo in reasoning."""
    masking = Masking(Secrets([KEY]))
    shown = ""
    for char in KEY:
        for delta in masking.take([Delta("token", [char]), Delta("reasoning", ["x"])]):
            shown += "".join(delta.texts) if delta.kind == "token" else ""
    shown += "".join(text for delta in masking.flush() for text in delta.texts)
    assert MARK in shown
    assert KEY[9:] not in shown
    assert "".join(masked(list(KEY), KEY, kind="reasoning")) in [KEY[:place] + MARK for place in range(10)]


def test_an_echo_that_breaks_off_and_goes_on() -> None:
    """Most of a key at the end of an answer is masked, and so is the rest of one that a continued answer brings."""
    assert masked([KEY[:25]], KEY) == [MARK]
    shown = "".join(masked([KEY[12:], " was it"], KEY, begun=f"Your key is {KEY[:12]}"))
    assert shown == f"{MARK} was it"


def test_a_flood_of_starts_takes_linear_time() -> None:
    """What looks like the start of a key again and again is not looked at again and again."""
    masking = Masking(Secrets([KEY]))
    text = KEY[:14] * 5000
    shown = [text for delta in masking.take([Delta("token", [text])]) for text in delta.texts]
    shown += [text for delta in masking.flush() for text in delta.texts]
    assert "".join(shown) == text


def test_what_is_secret() -> None:
    """Key, password, query parameters and headers; not the headers whose values anybody may write."""
    found = configured_secrets(
        "https://me:pass-w0rd-1@host/v1?api-version=2024-06-01&sig=si9nature",
        "sk-1234567890",
        {
            "api-key": "azure-key-1",
            "anthropic-version": "2023-06-01",
            "HTTP-Referer": "https://chat.example.org",
            "Authorization": "Token tok3n-of-mine",
            "X-Short": "abc",
        },
    )
    basic = base64.b64encode(b"me:pass-w0rd-1").decode()
    assert set(found.spoken) == {
        *("sk-1234567890", "pass-w0rd-1", "si9nature", f"Basic {basic}", basic),
        *("azure-key-1", "Token tok3n-of-mine", "tok3n-of-mine"),
    }
    assert set(found.hidden) == {*found.spoken, "2023-06-01", "https://chat.example.org"}
