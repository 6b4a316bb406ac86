"""The catalogues are held against the sources: every sentence is translated, and nothing else is kept."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Message

from tests.translating import catalogues, extracted, read

LANGUAGES = sorted(catalogues())
PLACEHOLDER = re.compile(r"%\(\w+\)s")
# The page has one word for a chat, and none for what only the code knows.
BANNED = {
    "en": re.compile(r"conversation|session|supersede|abandon|\bcannot\b|there is no such", re.IGNORECASE),
    "de": re.compile(r"unterhaltung|gespräch|konversation|sitzung|abgelöst|\bdu\b|\bdein", re.IGNORECASE),
}


def sentences(language: str) -> list[Message]:
    """Return the entries of a catalogue, its header left out."""
    return [message for message in read(language) if message.id]


def forms(text: str | tuple[str, ...] | list[str] | None) -> list[str]:
    """Return the plural forms of a text, or the text alone."""
    return [text] if isinstance(text, str) else list(text or ())


def test_the_page_speaks_another_language() -> None:
    """German proves that it can."""
    assert "de" in LANGUAGES


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_the_sentences_of_the_page_and_no_others(language: str) -> None:
    """What is missing or no longer said: `make translations` mends it."""
    said = {tuple(forms(message.id)) for message in extracted() if message.id}
    assert {tuple(forms(message.id)) for message in sentences(language)} == said


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_says_where_its_sentences_stand(language: str) -> None:
    """The page takes the words of its scripts by their files."""
    said = {message.id: {file for file, _ in message.locations} for message in extracted() if message.id}
    assert {message.id: {file for file, _ in message.locations} for message in sentences(language)} == said


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated(language: str) -> None:
    """All plural forms of it, and none is marked as doubtful."""
    todo = [message.id for message in sentences(language) if message.fuzzy or not all(forms(message.string))]
    assert todo == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_values_of_its_sentence(language: str) -> None:
    """The placeholders are the same, in any order."""
    for message in sentences(language):
        wanted = {name for form in forms(message.id) for name in PLACEHOLDER.findall(form)}
        for form in forms(message.string):
            assert set(PLACEHOLDER.findall(form)) <= wanted, message.id
        assert {name for form in forms(message.string) for name in PLACEHOLDER.findall(form)} == wanted


@pytest.mark.slow
def test_the_page_calls_a_chat_a_chat() -> None:
    """No sentence says what the code calls it, in English or in a translation."""
    said = {"en": [form for message in extracted() for form in forms(message.id)]}
    said |= {
        code: [form for message in sentences(code) for form in forms(message.string)] for code in LANGUAGES
    }
    wrong = [text for code, banned in BANNED.items() for text in said[code] if banned.search(text)]
    assert wrong == []
