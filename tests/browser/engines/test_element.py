"""`<tailrace-chat>` on a page of another origin, in each engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.embedded import HOST
from tests.browser.engines.window import Window
from tests.browser.sites import another_site
from tests.support.puppet import PuppetBackend
from tests.support.server import serve
from tests.support.waiting import until

ROOT = "document.querySelector('tailrace-chat').shadowRoot"
READY = (
    f"() => customElements.whenDefined('tailrace-chat').then(() => {ROOT}.querySelector('textarea') !== null)"
)
ANSWER = f"{ROOT}.querySelectorAll('article[data-role=assistant]')"
TEXT = f"(index, text) => {ANSWER}[index]?.querySelector('.text.markdown').textContent === text"
ENDED = f"(index, outcome) => {ANSWER}[index]?.dataset.outcome === outcome"
BLOCKS = f"() => Array.from({ROOT}.querySelectorAll('.block'), (block) => block.firstElementChild.localName)"
FOCUS = "() => document.querySelector('tailrace-chat').focus()"
FOCUSED = f"() => {ROOT}.activeElement?.localName === 'textarea'"
COLOUR = f"(name) => getComputedStyle({ROOT}.querySelector(name)).backgroundColor"
LIGHT, ACCENT = "rgb(251, 252, 252)", "rgb(12, 106, 115)"


async def test_a_chat_in_a_page(window: Window, tmp_path: Path) -> None:
    """It is asked and stopped by keyboard, a newer message takes over, and a reload shows the same."""
    backend = PuppetBackend()
    site = [""]
    async with another_site(site) as origin:
        settings: dict[str, Any] = {"allowed_origins": (origin,), "default_model": "puppet/puppet"}
        async with serve(tmp_path, extra=(backend,), **settings) as server:
            site[0] = HOST.format(
                script=f"{server.url}/static/element.js", attributes='session="s1"', url=server.url
            )
            await window.open(origin)
            await window.until(READY)
            assert await window.ask(COLOUR, ".embedded") == LIGHT
            assert await window.ask(COLOUR, ".send") == ACCENT
            await window.ask(FOCUS)
            await window.until(FOCUSED)
            await window.write("one")
            await window.press("Shift", "Enter")
            await window.write("more")
            await window.press("Enter")
            await until(lambda: backend.generations and backend.generations[0].opened.is_set())
            first = backend.generations[0]
            assert first.request.messages[-1].content == "one\nmore"
            first.say("# Some\n\nte")
            await window.until(TEXT, 0, "Somete")
            await window.write("two")
            await window.press("Enter")
            await until(lambda: len(backend.generations) == 2)
            await until(first.aborted.is_set)
            await window.until(ENDED, 0, "superseded")
            second = backend.generations[1]
            second.say("Whole.\n\n| a |\n|---|\n| 1 |\n")
            second.finish()
            await window.until(ENDED, 1, "complete")
            await window.until(f"() => ({BLOCKS})().join() === 'h3,p,p,table'")
            await window.write("three")
            await window.press("Enter")
            await until(lambda: len(backend.generations) == 3)
            await window.press("Escape")
            await until(backend.generations[2].aborted.is_set)
            await window.until(ENDED, 2, "stopped")
            await window.reload()
            await window.until(READY)
            await window.until(ENDED, 2, "stopped")
            assert await window.ask(BLOCKS) == ["h3", "p", "p", "table"]
            assert await window.ask(f"() => {ANSWER}.length") == 3
