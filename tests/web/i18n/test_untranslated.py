"""No word on a page is left out of the catalogues: in a made-up language every sentence stands in brackets."""

from __future__ import annotations

import re
from gettext import NullTranslations
from html.parser import HTMLParser

import pytest

from app.backends.scripted.scripts import SCRIPTS
from app.web.i18n.translations import LANGUAGES, Language
from tests.web.stage import Stage

SPOKEN = {"aria-label", "title", "placeholder", "alt"}  # attributes that people get to read or to hear
SILENT = {"script", "title", "code"}  # the title of a page is its heading and a name; codes are for reports
# What is the same in every language: names, what the test says, and what is written on keys.
NAMES = r"Tailrace|\d[\d.]*|Esc|Ctrl|Alt|Shift|Enter|\b[KO]\b|English|Deutsch|hello|there"
MODELS = "|".join(["puppet", "scripted", *sorted(SCRIPTS, key=len, reverse=True)])


class Bracketed(NullTranslations):
    """Says every sentence in brackets."""

    def gettext(self, message: str) -> str:
        """See `NullTranslations`."""
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """See `NullTranslations`."""
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


class Spoken(HTMLParser):
    """Collects what people read and hear."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self._inside.append(tag)
        self.words += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if not self._inside or self._inside[-1] not in SILENT:
            self.words.append(data)


def untranslated(page: str) -> list[str]:
    """Return the words of a page that stand in no brackets and are no names."""
    parser = Spoken()
    parser.feed(page)
    left = (re.sub(rf"⟦[^⟧]*⟧|{NAMES}|{MODELS}|/", "", words) for words in parser.words)
    return [words.strip() for words in left if re.search(r"[^\W\d_]{2}", words)]


@pytest.mark.parametrize(
    "path",
    ["/", "/sessions/s1", "/sessions/s1/manage", "/?q=nowhere", "/?deleted=s9", "/sessions/s2", "/nothing"],
)
async def test_every_word_is_in_the_catalogues(
    stage: Stage, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts and labels alike, whatever an answer came to."""
    made_up = Language("de", "Deutsch", Bracketed(), {})
    languages = stage.live.app[LANGUAGES]
    monkeypatch.setitem(languages, "de", made_up)
    await stage.answer("s1", "hello", "there")
    await stage.client.ask("s2", "hello", model="scripted/error")
    headers = {"Accept": "text/html", "Accept-Language": "de"}
    async with stage.http.get(path, headers=headers) as response:
        assert untranslated(await response.text()) == []


def test_the_check_itself() -> None:
    """It sees what stands in no brackets, and nothing else."""
    page = '<p title="⟦Title⟧">⟦Fine⟧ <b aria-label="Label">Word</b></p><script>let code;</script>'
    assert untranslated(page) == ["Label", "Word"]
