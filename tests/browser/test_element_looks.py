"""How `<tailrace-chat>` looks: only custom properties of the page get in, nothing gets out, and all can read it."""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.benchmarks.page import axe
from tests.benchmarks.page.packages import lack
from tests.browser.embedded import HOST, POLICY, Scene, scene
from tests.support.waiting import until_told
from tests.translating import read

MARKDOWN = (
    "# Heading\n\nSome *text* with `code`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nnumber = 1\n```\n"
)
# Rules of a page that mean no harm, and some that do.
RULES = """<style>
  html { font-size: 62.5%; }
  body { color: rgb(255, 0, 0); font: italic 700 30px/3 serif; letter-spacing: 4px; text-align: right;
         text-transform: uppercase; white-space: pre; cursor: wait; word-spacing: 9px; }
  * { box-sizing: content-box; margin: 7px; --accent: red; --paper: lime; }
  p, h2, button, textarea, .text, .message, .box, [role=log] { display: none !important; color: red !important; }
</style></head>"""
STYLED = POLICY.replace("style-src 'none'", "style-src 'unsafe-inline'")  # of the page, not of the element
# The computed styles of all that is in the shadow tree, but for what depends on widths.
STYLES = """(host) => Array.from(host.shadowRoot.querySelectorAll("*"), (element) => {
  const style = getComputedStyle(element);
  const names = ["display", "visibility", "color", "background-color", "font-family", "font-size", "font-style",
    "font-weight", "line-height", "letter-spacing", "word-spacing", "text-align", "text-transform", "white-space",
    "cursor", "margin-top", "margin-left", "padding-left", "border-left-width", "box-sizing", "--accent", "--paper"];
  return [element.tagName, ...names.map((name) => style.getPropertyValue(name))].join(" | ");
})"""
OUTSIDE = """() => Array.from(document.querySelectorAll("html, head, body, main, h1, p"), (element) => {
  const style = getComputedStyle(element);
  return Array.from(style, (name) => `${name}: ${style.getPropertyValue(name)}`).join("; ");
})"""
COLOURS = """(host) => {
  const paper = host.shadowRoot.querySelector(".embedded"), send = host.shadowRoot.querySelector(".send");
  const { backgroundColor, fontFamily } = getComputedStyle(paper);
  return [backgroundColor, getComputedStyle(send).backgroundColor, fontFamily];
}"""
SCROLLED = "(element) => element.scrollLeft + element.parentElement.scrollLeft > 0"
LIGHT, DARK = "rgb(251, 252, 252)", "rgb(16, 22, 23)"
ACCENT = "rgb(12, 106, 115)"


async def answered(at: Scene, prompt: str = "show me", text: str = MARKDOWN) -> None:
    """Ask, and wait for the whole answer."""
    model = await at.ask(prompt)
    model.say(text)
    model.finish()
    await at.chat.ends("complete")
    await expect(at.chat.text().locator(".tail")).to_be_empty()


async def styles(browser: Browser, folder: Path, page: str) -> list[str]:
    """Return the styles of an element with an answer."""
    async with scene(browser, folder, page=page, policy=STYLED) as at:
        await answered(at)
        found: list[str] = await at.chat.host.evaluate(STYLES)
        return found


async def test_right_to_left_text_stands_on_the_right(browser: Browser, tmp_path: Path) -> None:
    """What is typed, and the bullets of a list with its text."""
    async with scene(browser, tmp_path) as at:
        await answered(at, "سؤال", "- عنصر\n\n> اقتباس")
        for found in (at.chat.text().locator("ul"), at.chat.text().locator("blockquote")):
            assert await found.evaluate("(found) => getComputedStyle(found).paddingLeft") == "0px"
        await at.chat.box.fill("سؤال")
        assert await at.chat.box.evaluate("(box) => getComputedStyle(box).direction") == "rtl"


async def test_no_style_of_the_page_gets_in(browser: Browser, tmp_path: Path) -> None:
    """Neither by selectors nor by inheritance; sizes follow one custom property, whatever the page takes for a rem."""
    size = "<style>tailrace-chat { --tailrace-font-size: 16px; width: 600px; }</style></head>"
    plain = await styles(browser, tmp_path / "plain", HOST.replace("</head>", braced(size)))
    ruled = await styles(
        browser, tmp_path / "ruled", HOST.replace("</head>", braced(RULES.replace("</head>", size)))
    )
    assert ruled == plain


async def test_no_style_of_the_element_gets_out(browser: Browser, tmp_path: Path) -> None:
    """The page looks the same with and without it."""
    page = HOST.replace("</main>", "<p>A paragraph</p></main>")
    async with scene(browser, tmp_path, page=page) as at:
        await expect(at.chat.box).to_be_visible()
        with_it = await at.chat.page.evaluate(OUTSIDE)
        assert await at.chat.page.evaluate(
            "[document.styleSheets.length, document.adoptedStyleSheets.length]"
        ) == [0, 0]
        await at.chat.page.route(
            "**/element.js", lambda route: route.fulfill(body="", content_type="text/javascript")
        )
        # Its size is what its place takes, so it is there without its script, too.
        await at.chat.page.goto("about:blank")
        await at.chat.page.goto(at.origin)
        await at.chat.host.evaluate(
            "(host) => { host.style.display = 'block'; host.style.height = '32rem'; }"
        )
        await at.chat.host.evaluate("(host) => host.replaceChildren()")
        assert await at.chat.page.evaluate(OUTSIDE) == with_it


@pytest.mark.parametrize(
    ("scheme", "style", "theme", "paper"),
    [
        ("dark", "", "", LIGHT),  # a page that says nothing of dark is light
        ("dark", "color-scheme: light dark", "", DARK),
        ("light", "color-scheme: light dark", "", LIGHT),
        ("light", "", "dark", DARK),
        ("dark", "color-scheme: dark", "light", LIGHT),
        ("dark", "", "auto", DARK),
    ],
)
async def test_it_is_light_or_dark_as_the_page(
    browser: Browser, tmp_path: Path, scheme: Any, style: str, theme: str, paper: str
) -> None:
    """As the page's `color-scheme`, unless the attribute says otherwise."""
    page = HOST.replace("</head>", braced(f"<style>html {{ {style} }}</style></head>"))
    attributes = f'session="s1" theme="{theme}"' if theme else 'session="s1"'
    options = {"color_scheme": scheme}
    async with scene(browser, tmp_path, attributes, page=page, policy=STYLED, options=options) as at:
        await expect(at.chat.box).to_be_visible()
        assert (await at.chat.host.evaluate(COLOURS))[0] == paper


async def test_the_page_chooses_colours_and_fonts(browser: Browser, tmp_path: Path) -> None:
    """By custom properties; what it does not choose stays."""
    chosen = "--tailrace-accent: rgb(1, 2, 3); --tailrace-font: monospace; --tailrace-height: 20rem;"
    page = HOST.replace("</head>", braced(f"<style>body {{ {chosen} }}</style></head>"))
    still = {"reduced_motion": "reduce"}  # colours change at once
    async with scene(browser, tmp_path, page=page, policy=STYLED, options=still) as at:
        await expect(at.chat.box).to_be_visible()
        assert await at.chat.host.evaluate(COLOURS) == [LIGHT, "rgb(1, 2, 3)", "monospace"]
        assert await at.chat.host.evaluate("(host) => host.offsetHeight") == 320
        await at.chat.host.evaluate("(host) => host.style.setProperty('--tailrace-accent', 'initial')")
        assert (await at.chat.host.evaluate(COLOURS))[1] == ACCENT


@pytest.mark.parametrize("width", [320, 390])
async def test_it_fits_a_narrow_page(browser: Browser, tmp_path: Path, width: int) -> None:
    """What is wide scrolls by itself, by the keyboard too, and not the page."""
    async with scene(browser, tmp_path, options={"viewport": {"width": width, "height": 700}}) as at:
        wide = (
            "| "
            + " | ".join(["a long heading"] * 9)
            + " |\n|"
            + "---|" * 9
            + "\n| "
            + " | ".join(["value"] * 9)
            + " |\n"
        )
        await answered(at, "a" * 200, f"{wide}\n```\n{'x' * 300}\n```\n")
        assert await at.chat.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await at.chat.log.evaluate("(log) => log.scrollWidth <= log.clientWidth")
        for name in ("table", "pre > code"):
            element = at.chat.text().locator(name)
            await element.focus()
            await at.chat.page.keyboard.press("ArrowRight")
            await until_told(partial(element.evaluate, SCROLLED))


async def test_reduced_motion(browser: Browser, tmp_path: Path) -> None:
    """Nothing moves for who asks for that."""
    async with scene(browser, tmp_path, options={"reduced_motion": "reduce"}) as at:
        await at.ask("hello")
        pulse = at.chat.answers.locator(".pulse")
        await expect(pulse).to_be_visible()
        assert await pulse.evaluate("(pulse) => getComputedStyle(pulse).animationName") == "none"
        await at.chat.stop.click()
        await at.chat.ends("stopped")


@pytest.fixture
def judges() -> None:
    """The package that judges the element; without it the test is skipped, in CI it fails."""
    if reason := lack():
        message = f"{reason}, so the accessibility of the element is not judged"
        pytest.fail(message, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(message)


@pytest.mark.usefixtures("judges")
async def test_no_rule_of_accessibility_fails(browser: Browser, tmp_path: Path) -> None:
    """Empty, while the model thinks, with an answer, with a failed one and with an error, in two looks."""
    page = HOST.replace("</head>", braced("<style>html { color-scheme: light dark }</style></head>"))
    async with scene(browser, tmp_path, page=page, policy=STYLED) as at:
        found: list[str] = []

        async def judge(state: str) -> None:
            found.extend(f"{state}: {rule}" for rule in await axe.failed_rules(at.chat.page, axe.TWO_LOOKS))

        await expect(at.chat.box).to_be_visible()
        await judge("empty")
        model = await at.ask("show me")
        await judge("thinking")
        model.say("# A *heading*\n\nAnd some")
        await expect(at.chat.text()).to_contain_text("And some")
        await judge("streaming")
        model.say(" text\n\n" + MARKDOWN)
        model.finish()
        await at.chat.ends("complete")
        await judge("answered")
        (await at.ask("again")).fail(RuntimeError("broken"))
        await at.chat.ends("failed", 1)
        await judge("failed")
        await at.chat.page.route("**/api/**", lambda route: route.abort())
        await at.chat.ask("once more")
        await expect(at.chat.error).to_be_visible()
        await judge("refused")
        assert found == []


async def test_it_speaks_the_language_of_the_page(browser: Browser, tmp_path: Path) -> None:
    """That of the nearest `lang`; a page may have texts of its own."""
    async with scene(browser, tmp_path, page=HOST.replace('lang="en"', 'lang="de-AT"')) as at:
        await expect(at.chat.host.get_by_role("button", name="Senden")).to_be_visible()
        await at.chat.host.evaluate("(host) => { host.texts = { send: 'Los', placeholder: 'Was nun?' }; }")
        await expect(at.chat.host.get_by_role("button", name="Los")).to_be_visible()
        await expect(at.chat.page.get_by_placeholder("Was nun?")).to_be_visible()
        await at.chat.host.evaluate("(host) => { host.texts = {}; host.lang = 'fr'; }")
        await expect(at.chat.send).to_be_visible()  # English, where there is no other


async def test_texts_are_those_of_the_page_of_the_product(browser: Browser, tmp_path: Path) -> None:
    """What both say is translated in the same way, and no text lacks a translation."""
    async with scene(browser, tmp_path) as at:
        load = f"import('{at.wire.url}/static/element.js').then(({{ TailraceChat }}) => TailraceChat.TEXTS)"
        texts = await at.chat.page.evaluate(load)
    catalogue = read("de")
    assert texts["de"].keys() == texts["en"].keys()
    known = [name for name, sentence in texts["en"].items() if catalogue.get(sentence)]
    assert len(known) > 25
    for name in known:
        message = catalogue.get(texts["en"][name])
        assert message is not None
        assert texts["de"][name] == message.string, name
    for name, sentence in texts["en"].items():
        assert set(re.findall(r"%\(\w+\)s", sentence)) == set(re.findall(r"%\(\w+\)s", texts["de"][name]))


def braced(html: str) -> str:
    """Return HTML as a part of `HOST`, which is formatted."""
    return html.replace("{", "{{").replace("}", "}}")


async def test_the_way_back_down_and_a_lost_connection_cover_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    """Each has a row of its own, also where the element is narrow."""
    async with scene(browser, tmp_path) as at:
        await at.chat.host.evaluate("(host) => { host.style.width = '300px'; }")
        await answered(at, text="\n\n".join(f"paragraph {number}" for number in range(80)))
        await at.chat.log.evaluate("(log) => { log.scrollTop = 0; }")
        jump, link = at.chat.host.locator(".jump"), at.chat.host.locator(".link")
        await expect(jump).to_be_visible()
        await link.evaluate("(link) => { link.hidden = false; link.append('Reconnecting…'); }")
        rows = [await each.bounding_box() for each in (at.chat.log, jump, link, at.chat.host.locator(".box"))]
        assert all(
            upper and lower and upper["y"] + upper["height"] <= lower["y"] for upper, lower in pairwise(rows)
        )
