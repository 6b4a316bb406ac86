"""The label under an answer: it says how the answer ended, the same while it is seen and after a reload."""

from __future__ import annotations

from playwright.async_api import expect

from app.chat.errors import UpstreamBusy
from app.web.i18n.translations import COOKIE
from tests.browser.puppets import Led
from tests.support.waiting import until

LABELS = {
    "length": "Reached the token limit",
    "content_filter": "Cut off by the provider's content filter",
    "refusal": "The model refused",
    "tool_calls": "The model asked for a tool, but Tailrace has none",
    "load": "The model was loaded, but gave no answer. Try again.",
    "eclipse": "Finish reason: eclipse",
    "stop": "Empty answer",  # for nothing was said
}


async def test_an_answer_never_ends_in_silence(led: Led) -> None:
    """Each reason has its label, at once and as the server renders it; an expected end has none."""
    for reason in LABELS:
        (await led.ask(reason)).finish(reason)
        await led.chat.ends("complete")
    generation = await led.ask("all is well")
    generation.say("Yes.")
    generation.finish()
    await led.chat.ends("complete")
    shown = led.chat.page.locator("[data-part=label]:visible")
    await expect(shown).to_have_text(list(LABELS.values()))
    await led.chat.page.reload()
    await expect(shown).to_have_text(list(LABELS.values()))


async def test_german_quotes_the_model_server(led: Led) -> None:
    """Labels are in the reader's language, and what a model server said is quoted behind the sentence about it."""
    page = led.chat.page
    await page.context.add_cookies([{"name": COOKIE, "value": "de", "url": page.url}])
    await page.reload()
    await page.get_by_label("Modell", exact=True).select_option("puppet/puppet")
    box = page.get_by_label("Nachricht", exact=True)
    await box.fill("Hallo")
    await box.press("Enter")
    await until(lambda: bool(led.backend.generations))
    [generation] = led.backend.generations
    await generation.opened.wait()
    generation.fail(UpstreamBusy("It returned an error (429): $& slow down. Try again in 20 s."))
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("Der Modellserver ist ausgelastet.")
    await expect(alert).to_contain_text("(It returned an error (429): $& slow down. Try again in 20 s.)")
    await page.reload()
    await expect(page.get_by_text("$& slow down. Try again in 20 s.")).to_be_visible()
