"""The figures under an answer, as the scripts write them: the same as the server's."""

from __future__ import annotations

import pytest

from app.web.sentences import words
from tests.browser.modules import ORIGIN, Modules
from tests.web.test_figures import FIGURES, LANGUAGES

FIGURES_OF = """async ([url, lang, words, tokens, durationMs]) => {
    document.documentElement.lang = lang;
    const data = document.createElement("script");
    data.type = "application/json";
    data.id = "words";
    data.textContent = JSON.stringify(words);
    document.head.append(data);
    const { figures } = await import(`${url}/outcome.js`);
    return figures({ tokens, durationMs });
}"""


@pytest.mark.parametrize(("code", "tokens", "duration_ms", "said"), FIGURES)
def test_the_scripts_write_figures_as_the_server_does(
    modules: Modules, code: str, tokens: int, duration_ms: int, said: str
) -> None:
    """To the letter: nothing changes with a reload."""
    modules.page.goto(ORIGIN)  # modules read their words once
    arguments = [modules.url, code, words(LANGUAGES[code]), tokens, duration_ms]
    assert modules.page.evaluate(FIGURES_OF, arguments) == said
