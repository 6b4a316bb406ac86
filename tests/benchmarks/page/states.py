"""The states of the page that are looked at: every page that there is, and what an answer can be doing on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from playwright.async_api import BrowserContext, Page

from tests.benchmarks.page.stage import ESSAY, Stage

Enter = Callable[[Stage, BrowserContext], Awaitable[Page]]


class State(NamedTuple):
    """A state with the way into it."""

    name: str
    enter: Enter


def at(path: str) -> Enter:
    """Return the way to an address."""

    async def enter(stage: Stage, context: BrowserContext) -> Page:
        page = await context.new_page()
        await page.goto(stage.url + path)
        return page

    return enter


def ended(model: str) -> Enter:
    """Return the way to a session whose only answer has ended, by itself or because its model failed."""

    async def enter(stage: Stage, context: BrowserContext) -> Page:
        await stage.answer(f"ended-{model}", model)
        return (await stage.open(context, f"/sessions/ended-{model}")).page

    return enter


async def operations(stage: Stage, context: BrowserContext) -> Page:
    """The operations page while one answer runs and another has failed."""
    await stage.answer("failed", "error-middle")
    chat = await stage.open(context, "/")
    await chat.ask("Are you there?", "hang")
    await chat.page.goto(f"{stage.url}/ops")
    await chat.page.locator("tbody tr").first.wait_for()
    return chat.page


async def thinking(stage: Stage, context: BrowserContext) -> Page:
    """An answer without its first token."""
    chat = await stage.open(context, "/")
    await chat.ask("Are you there?", "hang")
    await chat.answer().get_by_text("Thinking…").wait_for()
    return chat.page


async def streaming(stage: Stage, context: BrowserContext) -> Page:
    """An answer that is being written."""
    chat = await stage.open(context, "/")
    await chat.ask("Tell me about mills", ESSAY)
    await chat.streams()
    return chat.page


async def stopped(stage: Stage, context: BrowserContext) -> Page:
    """An answer that the reader stopped."""
    chat = await stage.open(context, "/")
    await chat.ask("Tell me about mills", ESSAY)
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    return chat.page


async def superseded(stage: Stage, context: BrowserContext) -> Page:
    """An answer that a newer prompt ended, and the answer to that."""
    chat = await stage.open(context, "/")
    await chat.ask("Tell me about mills", ESSAY)
    await chat.streams()
    await chat.ask("Only hello, please", "short")
    await chat.ends("superseded", 0)
    await chat.ends("complete", 1)
    return chat.page


async def login(stage: Stage, context: BrowserContext) -> Page:
    """The page that asks for the token."""
    page = await context.new_page()
    await page.goto(stage.locked_url)
    return page


async def refused_login(stage: Stage, context: BrowserContext) -> Page:
    """The same after a wrong token."""
    page = await login(stage, context)
    await page.get_by_label("Access token").fill("a guess")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").wait_for()
    return page


STATES = [
    State("a new session", at("/")),
    State("how to connect a model", at("/models")),
    State("operations", operations),
    State("a rich answer", ended("markdown")),
    State("reasoning", ended("reasoning")),
    State("thinking", thinking),
    State("streaming", streaming),
    State("stopped", stopped),
    State("superseded", superseded),
    State("failed", ended("error-middle")),
    State("sign-in", login),
    State("a wrong token", refused_login),
    State("a problem", at("/nowhere")),
]
