"""The figures under an answer, as the scripts write them: the same as the server's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.web.i18n.translations import load
from app.web.page.templates import page_data
from tests.browser.modules import ORIGIN, Modules
from tests.web.i18n.test_plurals import CATALOGUES, NUMBERS, TRANSLATED, UNFINISHED, made_up
from tests.web.page.test_figures import FIGURES, LANGUAGES, THOUGHTS

SAID = """async ([url, lang, told, name, given]) => {
    document.documentElement.lang = lang;
    document.getElementById("page-data").textContent = JSON.stringify(told);
    const outcome = await import(`${url}/state/outcome.js`);
    return outcome[name](given);
}"""


def said_by(modules: Modules, code: str, name: str, given: Any) -> Any:
    """Return what a function of the scripts says in a language."""
    modules.page.goto(ORIGIN)  # modules read their words once
    return modules.page.evaluate(SAID, [modules.url, code, page_data(LANGUAGES[code]), name, given])


@pytest.mark.parametrize(("code", "count", "rate", "duration_ms", "said"), FIGURES)
def test_the_scripts_write_figures_as_the_server_does(
    modules: Modules, code: str, count: int, rate: float | None, duration_ms: int, said: str
) -> None:
    """To the letter: nothing changes with a reload."""
    given = {"count": count, "rate": rate, "durationMs": duration_ms}
    assert said_by(modules, code, "figures", given) == said


@pytest.mark.parametrize(("code", "ms", "said"), THOUGHTS)
def test_the_scripts_say_how_long_a_thought_was_as_the_server_does(
    modules: Modules, code: str, ms: int | None, said: str
) -> None:
    assert said_by(modules, code, "thoughtFor", ms) == said


COUNT = """async ([url, lang, told, forms, numbers]) => {
    document.documentElement.lang = lang;
    document.getElementById("page-data").textContent = JSON.stringify(told);
    const { tn } = await import(`${url}/state/i18n.js`);
    return numbers.map((num) => tn(...forms, num));
}"""


@pytest.mark.parametrize("code", CATALOGUES)
def test_the_scripts_count_as_the_catalogue_does(modules: Modules, tmp_path: Path, code: str) -> None:
    """Whatever its rule: it is the catalogue's, not the browser's, and so it is where the sentence is missing."""
    language = load(made_up(tmp_path, code))[code]
    for forms in (TRANSLATED, *UNFINISHED):
        modules.page.goto(ORIGIN)
        found = modules.page.evaluate(COUNT, [modules.url, code, page_data(language), forms, NUMBERS])
        assert found == [language.sentences.ngettext(*forms, number) for number in NUMBERS]
