"""The accessibility of the page in each of its states, themes and widths, as axe-core judges it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from playwright.async_api import Locator, Page, ViewportSize

from tests.benchmarks.page.packages import MODULES, lack
from tests.benchmarks.page.stage import DESKTOP, PHONE, Stage
from tests.benchmarks.page.states import STATES, State
from tests.benchmarks.page.table import Gate, none_of

WHAT = "axe rules failed, every page"
AXE = MODULES / "axe-core" / "axe.min.js"
RUN = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  return violations.map(({ id, nodes }) => `${id} at ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}"""
# Whatever opens something: menus, panels, folded details.
OPENERS = (
    "button[popovertarget], button[aria-haspopup], button[aria-expanded], button[commandfor], summary, a.more"
)


class Look(NamedTuple):
    """How the page is shown."""

    theme: Literal["light", "dark"]
    viewport: ViewportSize


DESKTOP_LIGHT, DESKTOP_DARK = Look("light", DESKTOP), Look("dark", DESKTOP)
PHONE_LIGHT, PHONE_DARK = Look("light", PHONE), Look("dark", PHONE)
LOOKS = (DESKTOP_LIGHT, DESKTOP_DARK, PHONE_LIGHT, PHONE_DARK)
TWO_LOOKS = (DESKTOP_LIGHT, PHONE_DARK)  # both themes and both widths, in half the time


async def failed_rules(page: Page, looks: Sequence[Look]) -> list[str]:
    """Return the rules that fail, each with where that is; a fault of several looks is one."""
    if not await page.evaluate("'axe' in globalThis"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for look in looks:
        await page.set_viewport_size(look.viewport)
        await page.emulate_media(color_scheme=look.theme, reduced_motion="reduce")
        for rule in await page.evaluate(RUN):
            found.setdefault(rule, f"{look.viewport['width']} px, {look.theme}")
    return [f"{rule} ({where})" for rule, where in found.items()]


async def judge(stage: Stage, states: Sequence[State], looks: Sequence[Look]) -> list[str]:
    """Bring a page into each state and return the rules that fail there."""
    found = []
    for state in states:
        async with stage.context() as context:
            page = await state.enter(stage, context)
            found += [f"{state.name}: {rule}" for rule in await failed_rules(page, looks)]
    return found


async def judge_opened(stage: Stage, looks: Sequence[Look]) -> list[str]:
    """Open whatever opens on the page of a session, one after the other; return the rules that fail."""
    await stage.answer("opened", "reasoning")
    found = []
    for look in looks:
        async with stage.context(viewport=look.viewport) as context:
            chat = await stage.open(context, "/sessions/opened")
            for number in range(await chat.page.locator(OPENERS).count()):
                await chat.open("/sessions/opened")
                opener = chat.page.locator(OPENERS).nth(number)
                if await opener.is_visible():
                    name = await _name(opener)
                    await opener.click()
                    found += [f"{name!r} opened: {rule}" for rule in await failed_rules(chat.page, [look])]
    return found


async def _name(opener: Locator) -> str:
    return await opener.get_attribute("aria-label") or (await opener.inner_text()).strip()


async def measure(stage: Stage) -> list[Gate]:
    """Judge all states, and what opens, in all looks."""
    if reason := lack():
        return [Gate(WHAT, "0", reason, None)]
    found = await judge(stage, STATES, LOOKS) + await judge_opened(stage, LOOKS)
    return [none_of(WHAT, found)]
