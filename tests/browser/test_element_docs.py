"""docs/element.md is held against the element: its first page works, and its tables list what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, expect

from app.web.assets.folders import folder
from tests.browser.complaints import Complaints
from tests.browser.embedded import Embedded
from tests.browser.sites import another_site, visited
from tests.support.processes import ROOT
from tests.support.server import serve

DOCUMENT = (ROOT / "docs/element.md").read_text(encoding="utf-8")
SCRIPT = (folder("static") / "element.js").read_text(encoding="utf-8")
SHEET = (folder("static") / "element/style.css").read_text(encoding="utf-8")
SIZE = (folder("static") / "element/sheet.js").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return a section of the document."""
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def listed(text: str) -> set[str]:
    """Return the names in the first cells of tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


async def test_the_page_of_the_document_has_a_chat(browser: Browser, tmp_path: Path) -> None:
    """As it stands there, but for the address of the server."""
    html = DOCUMENT.partition("```html\n")[2].partition("```")[0]
    assert "http://127.0.0.1:8080/static/element.js" in html
    complaints, page_of_site = Complaints(), [html]
    async with another_site(page_of_site) as origin:
        settings: dict[str, Any] = {"allowed_origins": (origin,), "default_model": "scripted/echo"}
        async with serve(tmp_path, **settings) as server:
            page_of_site[0] = html.replace("http://127.0.0.1:8080", server.url)
            async with visited(browser, origin, complaints) as page:
                chat = Embedded(page)
                await chat.ask("hello")
                await chat.ends("complete")
                await expect(chat.text()).to_have_text("hello")
                await page.reload()
                await expect(chat.text()).to_have_text(
                    "hello"
                )  # each tab has a chat of its own, which is kept
            async with visited(browser, origin, complaints) as page:
                await expect(Embedded(page).box).to_be_visible()
                await expect(Embedded(page).answers).to_have_count(0)
    assert complaints == []


def test_attributes_are_those_of_the_document() -> None:
    """Those that are observed, and those that are read when they are needed."""
    used = (
        set(re.findall(r'getAttribute\("(\w+)"\)', SCRIPT)) | set(re.findall(r'\[(\w+)="', SHEET)) | {"lang"}
    )
    assert listed(section("Attributes")) == used


def test_events_are_those_of_the_document() -> None:
    """Each with its name."""
    said = {f"tailrace-{name}" for name in re.findall(r'#say\("(\w+)"', SCRIPT)}
    assert listed(section("Events")) == said


def test_custom_properties_are_those_of_the_document() -> None:
    """Each that the style sheet reads."""
    read = set(re.findall(r"--tailrace-[a-z-]+", SHEET + SIZE))
    assert listed(section("Colours, fonts and size")) == read


def test_parts_are_those_of_the_document() -> None:
    """Those that the view names."""
    view = (folder("static") / "element/view.js").read_text(encoding="utf-8")
    named = set(re.findall(r'\.part\.add\("(\w+)"\)', view)) | {"log", "send", "stop", "error"}
    assert set(re.findall(r"::part\((\w+)\)", DOCUMENT)) == named
