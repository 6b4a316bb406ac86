"""Plural forms: those of each catalogue, by its own rule; the source language where a catalogue lacks one."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.pofile import write_po

from app.web.assets.folders import folder
from app.web.i18n.translations import load
from tests.translating import catalogues

NUMBERS = [*range(130), 199, 200, 201, 1000, 1001, 1002, 999_999, 1_000_000, 1_000_001, 2_000_000]
TRANSLATED = ("a wheel", "wheels")
UNFINISHED = (("a river", "rivers"), ("a mill", "mills"), ("a sluice", "sluices"), ("a race", "races"))
# Number of forms and rule, as translators' tools write them. For some of them a browser has other categories.
CATALOGUES = {
    "de": (2, "(n != 1)"),
    "ja": (1, "0"),
    "fr": (3, "((n == 0 || n == 1) ? 0 : n != 0 && n % 1000000 == 0 ? 1 : 2)"),
    "pl": (3, "(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2)"),
    "lv": (3, "(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2)"),
    "sl": (4, "(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 || n%100==4 ? 3 : 0)"),
    "ar": (6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)"),
}


def made_up(folder: Path, code: str) -> Path:
    """Write a catalogue whose forms are numbered, with one sentence that is whole; return the folder of all."""
    count, rule = CATALOGUES[code]
    catalog = Catalog(locale=code, fuzzy=False)
    catalog.mime_headers = [
        ("Plural-Forms", f"nplurals={count}; plural={rule};"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ]
    forms = [f"{code}{number}" for number in range(count)]
    river, mill, sluice, race = UNFINISHED
    script = [("static/state/outcome.js", 1)]
    catalog.add(TRANSLATED, forms, locations=script)
    catalog.add(river, [*forms[:-1], ""], locations=script)
    catalog.add(mill, [""] * count, locations=script)
    catalog.add(sluice, forms, locations=script, flags=["fuzzy"])
    catalog.add(race, locations=script)
    path = folder / code / "LC_MESSAGES" / "messages.po"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_po(file, catalog)
    return folder


@pytest.mark.parametrize("code", CATALOGUES)
def test_an_unfinished_sentence_is_shown_in_english(tmp_path: Path, code: str) -> None:
    """With one of its forms missing, with all, in doubt: in the templates and for the scripts alike."""
    language = load(made_up(tmp_path, code))[code]
    assert {form for n in NUMBERS for form in [language.sentences.ngettext(*TRANSLATED, n)]} == set(
        language.words[TRANSLATED[0]]
    )
    for one, many in UNFINISHED:
        said = [language.sentences.ngettext(one, many, number) for number in NUMBERS]
        assert said == [one if number == 1 else many for number in NUMBERS]
        assert one not in language.words


@pytest.mark.parametrize("code", catalogues())
def test_every_number_has_a_form(code: str) -> None:
    """In each catalogue that is shipped: none, one, two, a million."""
    language = load(folder("translations"))[code]
    for one, many in (("%(num)s token", "%(num)s tokens"), ("%(num)s model", "%(num)s models")):
        for number in NUMBERS:
            form = language.sentences.ngettext(one, many, number)
            assert form not in ("", one, many)
            assert form % {"num": number}
