"""The figures under an answer, as the scripts write them: the same as the server's."""

from __future__ import annotations

from typing import Any

import pytest

from app.web.i18n.error_texts import words
from tests.browser.modules import ORIGIN, Modules
from tests.web.page.test_figures import FIGURES, LANGUAGES, THOUGHTS

SAID = """async ([url, lang, words, name, given]) => {
    document.documentElement.lang = lang;
    const data = document.createElement("script");
    data.type = "application/json";
    data.id = "words";
    data.textContent = JSON.stringify(words);
    document.head.append(data);
    const outcome = await import(`${url}/state/outcome.js`);
    return outcome[name](given);
}"""


def said_by(modules: Modules, code: str, name: str, given: Any) -> Any:
    """Return what a function of the scripts says in a language."""
    modules.page.goto(ORIGIN)  # modules read their words once
    return modules.page.evaluate(SAID, [modules.url, code, words(LANGUAGES[code]), name, given])


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
