"""What the server, its templates and the page's scripts all know is said in one place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.web.assets.folders import folder
from app.web.events.heartbeat import PAGE_HEARTBEAT
from app.web.page.live.snapshots import MOST_WATCHED
from app.web.rules import RULES
from tests.translating import extracted

STATIC = folder("static")
SCRIPTS = {
    path.relative_to(STATIC).as_posix(): path.read_text(encoding="utf-8")
    for path in STATIC.rglob("*.js")
    if "vendor" not in path.parts
}
CONSTANT = re.compile(r'^(?:export )?const ([A-Z][A-Z_]*) = ([\d_]+|"[^"]*");', re.MULTILINE)
USED = re.compile(r"\bRULES\.(\w+)")
# Constants of scripts that have the value of a rule, but another meaning.
OTHERS = {
    ("composer/composer.js", "MOST_ROWS"),  # of the message box
    ("composer/model_finder.js", "SHOWN"),  # models that match
    ("state/outcome.js", "SHOW_ELAPSED_AFTER"),  # seconds
    ("element/view.js", "MOST_ROWS"),  # likewise
    ("net/hub.js", "MOST"),  # sessions per connection; see below
    ("net/outbox.js", "FRAME"),  # ms
    ("sidebar/sidebar.js", "PAUSE"),  # ms
    ("transcript/autoscroll.js", "AWAY"),  # px
    ("transcript/autoscroll.js", "NEAR"),  # px
    ("transcript/earlier.js", "AHEAD"),  # px
    ("transcript/frames.js", "REST"),
}
# Sentences with values that a template fills in on the server and a script in the browser, and names of elements that
# both create. Every other sentence is in one of them: a script finds those of a template in the page.
BOTH = {
    "%(num)s model",
    "%(num)s token",
    "%(rate)s tokens/s",
    "%(seconds)s s",
    "Attached image",
    "Chat deleted",
    "No model",
    "No models installed yet.",
    "Reasoning",
    "Sign in",
    "Thinking…",
    "This chat can't be restored any more.",
    "Thought for %(minutes)s min %(seconds)s s",
    "Thought for %(seconds)s s",
    "Title",
    "Unavailable: %(reason)s",
}


def leaves(rules: dict[str, Any]) -> Iterator[Any]:
    """Yield the values of the rules."""
    for value in rules.values():
        if isinstance(value, dict):
            yield from value.values()
        elif not isinstance(value, list):
            yield value


def test_scripts_use_the_rules_that_there_are() -> None:
    """Each by its name, and none that is missing: it would be `undefined`."""
    used = {name for text in SCRIPTS.values() for name in USED.findall(text)}
    assert used == RULES.keys()


def test_no_script_repeats_a_rule() -> None:
    """A constant of the same value is the same thing said twice, or listed here with what it means."""
    values = {*leaves(RULES), f"{RULES['demo']}/"}
    found = {
        (name, constant)
        for name, text in SCRIPTS.items()
        for constant, value in CONSTANT.findall(text)
        if (value.strip('"') if '"' in value else int(value.replace("_", ""))) in values
    }
    assert found == OTHERS


@pytest.mark.slow
def test_no_sentence_is_in_a_template_and_a_script() -> None:
    """Where one is changed, the other would be forgotten."""
    both = set()
    for message in extracted():
        rooms = {Path(file).parts[0] == "static" for file, _ in message.locations}
        if rooms == {True, False}:
            both.add(message.id if isinstance(message.id, str) else message.id[0])
    assert both == BOTH


def test_the_worker_knows_what_the_server_keeps_to() -> None:
    """It serves all tabs and has no page, so its limits are its own; they must fit those of the server."""
    numbers = dict(CONSTANT.findall(SCRIPTS["net/hub.js"]))
    assert int(numbers["MOST"]) == MOST_WATCHED
    assert 2 * PAGE_HEARTBEAT < int(numbers["SILENCE"].replace("_", "")) / 1000 < 3 * PAGE_HEARTBEAT


def test_the_browser_frames_the_page_in_its_own_colour() -> None:
    """`theme-color` cannot refer to the style sheet."""
    [light, dark] = re.findall(
        r"--paper: light-dark\((\S+), (\S+)\)", (STATIC / "css/tokens.css").read_text()
    )[0]
    document = (folder("templates") / "partials/document.html").read_text()
    assert re.findall(r'name="theme-color" content="(\S+)"', document) == [light, dark]
