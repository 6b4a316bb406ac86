"""The language of a page: negotiated, chosen by cookie, and said in `lang`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.web.assets.folders import folder
from app.web.i18n.translations import load, negotiate
from tests.web.stage import Stage

LANGUAGES = load(folder("translations"))


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,en;q=0.8", "de"),
        ("en;q=0.5, de;q=0.9", "de"),
        ("fr, tlh;q=0.9, de;q=0.1", "de"),
        ("de;q=0", "en"),
        ("DE-de;Q=0.4, en ; q=0.3", "de"),
        ("de;q=much, en", "en"),
        ("*", "en"),
        (";;,,q=", "en"),
        ("x" * 5000, "en"),
    ],
)
def test_the_best_language_of_the_header_is_taken(accepted: str, code: str) -> None:
    """By weight, a region standing for its language; English where nothing fits."""
    assert negotiate(accepted, LANGUAGES) == code


@pytest.mark.parametrize("path", ["/", "/sessions/s1", "/nothing"])
async def test_a_page_speaks_the_language_of_its_reader(stage: Stage, path: str) -> None:
    """Its words and its `lang`, on problem pages too."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.get(path, headers={"Accept": "text/html", "Accept-Language": "de"}) as response:
        page = await response.text()
    assert '<html lang="de"' in page
    assert ("Neuen Chat beginnen" if path == "/nothing" else "Neuer Chat") in page
    assert "new chat" not in page.lower()


async def test_a_cookie_overrides_the_header(stage: Stage) -> None:
    """Unless it names a language that there is not."""
    for chosen, code in (("en", "en"), ("de", "de"), ("tlh", "de"), ("../de", "de")):
        headers = {"Accept-Language": "de", "Cookie": f"tailrace_language={chosen}"}
        async with stage.http.get("/", headers=headers) as response:
            assert f'<html lang="{code}"' in await response.text()


def page_data(html: str) -> Any:
    """Return what a page passes to its scripts."""
    [data] = re.findall(r'<script type="application/json" id="page-data">(.*)</script>', html)
    return json.loads(data)


async def test_the_page_carries_the_words_of_its_scripts(stage: Stage) -> None:
    """As data, and only where they differ from those in the scripts, which have no labels of ends themselves."""
    async with stage.http.get("/", headers={"Accept-Language": "de"}) as response:
        words = page_data(await response.text())["words"]
    assert words["Stopping…"] == "Wird gestoppt …"
    async with stage.http.get("/", headers={"Accept-Language": "en"}) as response:
        words = page_data(await response.text())["words"]
    assert [name for name in words if not name.startswith("is:")] == []
