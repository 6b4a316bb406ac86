"""The page's modules by themselves, in an empty page: no server, no session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from playwright.sync_api import Page, Route, sync_playwright

from app.web.assets.folders import folder
from app.web.i18n.translations import SOURCE_LANGUAGE
from app.web.page.templates import page_data
from tests.browser.chromium import ARGUMENTS, chromium_to_try

ORIGIN = "http://modules.test"


class Modules(NamedTuple):
    """An empty page, and where in it the modules are found."""

    page: Page
    url: str


@contextmanager
def opened() -> Iterator[Modules]:
    """Open an empty page with the style sheet of the real one."""
    executable = chromium_to_try()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 800, "height": 800})
        page.route(f"{ORIGIN}/**", _serve)
        page.goto(ORIGIN)
        yield Modules(page, f"{ORIGIN}/static")
        browser.close()


def _serve(route: Route) -> None:
    name = route.request.url.removeprefix(ORIGIN).lstrip("/")
    if not name:
        html = (
            '<!doctype html><link rel="stylesheet" href="/static/style.css">'
            f'<script type="application/json" id="page-data">{json.dumps(page_data(SOURCE_LANGUAGE))}</script>'
            "<main></main>"
        )
        route.fulfill(body=html, content_type="text/html")
    else:
        route.fulfill(path=folder("static").parent / name)
