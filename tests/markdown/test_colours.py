"""Colours of code: what they tell, and that no text of any language takes long."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from functools import partial
from html import unescape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.markdown.bounds import COLOURED_LENGTH
from app.markdown.code.highlighting import code
from app.markdown.code.languages import LANGUAGES
from app.markdown.code.scanning import scan
from app.web.assets.folders import folder
from tests.markdown.corpus import COLOURED
from tests.markdown.corpus.hostile import BLANKS, OPENERS
from tests.markdown.shown import Shown
from tests.support.cost import measured

pytestmark = pytest.mark.slow

LENGTH = 5_000
LONGEST = 0.1  # s of processor time for so many characters; a quiet machine takes 0.01
ONE_NAME = list({id(language): name for name, language in LANGUAGES.items()}.values())


@pytest.fixture
def no_collections() -> Iterator[None]:
    """How long a collection of garbage takes depends on what all the other tests have left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("language", "text"), COLOURED.items(), ids=COLOURED)
def test_colours_tell_what_is_what(language: str, text: str) -> None:
    """Each sample says by `«k:word»` what is a keyword, a string, and so on; and nothing else has a colour."""
    source = re.sub(r"«\w+:([^»]*)»", r"\1", text)
    found = "".join(
        f"«{name}:{piece}»" if name else piece for name, piece in scan(source, LANGUAGES[language])
    )
    assert found == text


def test_every_language_has_a_name_in_lower_case() -> None:
    """That is how one is looked up."""
    assert [name for name in LANGUAGES if name != name.lower()] == []


def test_every_class_is_in_the_style_sheet() -> None:
    """There is none that nothing paints, and no rule for one that nothing has."""
    css = (folder("static") / "css" / "code.css").read_text()
    found = {name for text in COLOURED.values() for name in re.findall(r"«(\w+):", text)}
    assert found == set(re.findall(r"^pre \.(\w+) \{", css, re.MULTILINE))


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("language", ONE_NAME)
def test_no_listing_takes_long(language: str) -> None:
    """However often a text begins something that it never ends, each character is looked at a few times."""
    code("", language)
    for number, opener in enumerate(OPENERS + BLANKS):
        text = (("", "a", ".")[number % 3] + opener * LENGTH)[:LENGTH]
        took, html = measured(partial(code, text, language), LONGEST)
        assert took <= LONGEST, opener
        assert unescape(re.sub("<[^>]*>", "", html)) == text


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize(
    "language", ["scala", "fish", "c", "cpp", "ocaml", "nasm", "ini", "hcl", "objc", "matlab", "make"]
)
def test_what_stopped_servers_is_a_listing(language: str) -> None:
    """Quotes, backslashes and brackets of these lengths took a grammar of expressions seconds, or for ever."""
    for text in (
        '"' + "\\" * 48,
        "'" + "\\" * 48,
        "\\" * 20_000,
        "(" * 20_000,
        "$(" * 10_000,
        "[\n" * 10_000,
        "a " * 10_000,
    ):
        took, _ = measured(partial(code, text, language), 4 * LONGEST)
        assert took <= 4 * LONGEST


_PIECES = st.lists(st.sampled_from(OPENERS + BLANKS) | st.text(max_size=5), max_size=12).map("".join)


@pytest.mark.usefixtures("no_collections")
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ONE_NAME), _PIECES, _PIECES.filter(bool), _PIECES)
def test_whatever_is_repeated(language: str, before: str, piece: str, after: str) -> None:
    """No listing takes long, loses a character or breaks the markup, whatever it is made of."""
    text = (before + piece * (COLOURED_LENGTH // len(piece)) + after)[:COLOURED_LENGTH]
    took, pieces = measured(partial(scan, text, LANGUAGES[language]), 4 * LONGEST)
    assert took <= 4 * LONGEST
    assert "".join(found for _, found in pieces) == text
    assert Shown(f"<p>{code(before + piece + after, language).replace(chr(0), '')}</p>").wrong == []
