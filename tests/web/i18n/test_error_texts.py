"""What is said of an error in the reader's language."""

from __future__ import annotations

import pytest

from app.web.assets.folders import folder
from app.web.i18n.error_texts import SENTENCES, said
from app.web.i18n.translations import load
from tests.web.stage import Stage

LANGUAGES = load(folder("translations"))
GERMAN = {"Accept-Language": "de"}


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_each_code_has_its_sentence_in_german(code: str) -> None:
    """And English keeps the sentence of the error, which may be more exact."""
    assert said(LANGUAGES["en"], code, "It is 7 too long.") == "It is 7 too long."
    assert said(LANGUAGES["de"], code, "It is 7 too long.") not in ("It is 7 too long.", SENTENCES[code])


def test_a_code_without_a_sentence_keeps_its_own() -> None:
    """Better English than nothing."""
    assert said(LANGUAGES["de"], "unheard_of", "It is strange.") == "It is strange."


async def test_problems_speak_the_language_of_their_reader(stage: Stage) -> None:
    """As pages and as JSON; the code stays as it is."""
    async with stage.http.get("/sessions/nobody", headers={**GERMAN, "Accept": "text/html"}) as response:
        page = await response.text()
    assert "Nicht gefunden" in page
    assert "Dieser Chat existiert nicht oder wurde gelöscht." in page
    async with stage.http.get("/api/sessions/nobody", headers=GERMAN) as response:
        problem = await response.json(content_type=None)
    assert (problem["code"], problem["detail"]) == (
        "session_not_found",
        "Dieser Chat existiert nicht oder wurde gelöscht.",
    )


async def test_a_refused_form_says_so_in_the_language_of_its_reader(stage: Stage) -> None:
    """Beside what was typed."""
    async with stage.http.post("/api/sessions/s1/streams", data={"prompt": " "}, headers=GERMAN) as response:
        assert "Die Nachricht ist leer." in await response.text()
