"""Copying an answer, and a listing: what is on the clipboard afterwards."""

from __future__ import annotations

from playwright.async_api import BrowserContext, expect

from app.backends.scripted.scripts import SCRIPTS
from tests.browser.chat import Chat

READ = """async () => {
    const [item] = await navigator.clipboard.read();
    const text = async (type) => item.types.includes(type) ? (await item.getType(type)).text() : null;
    return { plain: await text("text/plain"), html: await text("text/html") };
}"""
SOURCE = SCRIPTS["markdown"].text or ""


async def ready(chat: Chat, context: BrowserContext) -> None:
    """Let the page use the clipboard; have an answer with a listing in it."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await chat.ask("show me", "markdown")
    await chat.ends("complete")


async def test_an_answer_is_copied_as_it_was_written(chat: Chat, context: BrowserContext) -> None:
    """Plain text is the Markdown, rich text is what is seen, without the buttons in it."""
    await ready(chat, context)
    button = chat.answer().locator("[data-part=copy]")
    await button.click()
    await expect(button).to_contain_class("done")
    copied = await chat.page.evaluate(READ)
    assert copied["plain"] == SOURCE
    assert "<table" in copied["html"]
    assert "<button" not in copied["html"]


async def test_tasks_are_copied_as_they_were_written(chat: Chat, context: BrowserContext) -> None:
    """As Markdown; in rich text they are signs, and breaks are breaks."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    source = "- [ ] weigh  \n  twice\n- [X] label"
    await chat.ask(source, "echo")
    await chat.ends("complete")
    await chat.answer().get_by_role("button", name="Copy", exact=True).click()
    await expect(chat.answer().get_by_role("button", name="Copied", exact=True)).to_be_visible()
    copied = await chat.page.evaluate(READ)
    assert copied["plain"].strip() == source
    assert "☐</span> weigh<br>" in copied["html"]
    assert "☑</span> label" in copied["html"]


async def test_a_listing_is_copied_as_text(chat: Chat, context: BrowserContext) -> None:
    """The code alone, in its lines."""
    await ready(chat, context)
    await chat.answer().locator("pre").hover()
    await chat.answer().get_by_role("button", name="Copy code").click()
    await expect(chat.answer().locator(".copy-code")).to_contain_class("done")
    copied = await chat.page.evaluate(READ)
    assert copied["plain"] == SOURCE.split("```python\n")[1].split("```")[0]


async def test_copying_works_on_plain_http(chat: Chat, context: BrowserContext) -> None:
    """Where the page is not trusted with `navigator.clipboard` the `copy` event does it."""
    await ready(chat, context)
    await chat.page.evaluate(
        """() => {
            window.read = navigator.clipboard.read.bind(navigator.clipboard);
            Object.defineProperty(navigator, "clipboard", { configurable: true, value: undefined });
        }"""
    )
    await chat.answer().get_by_role("button", name="Copy", exact=True).click()
    await expect(chat.answer().get_by_role("button", name="Copied", exact=True)).to_be_visible()
    copied = await chat.page.evaluate(READ.replace("navigator.clipboard.read()", "read()"))
    assert copied["plain"] == SOURCE
    assert "<table" in copied["html"]


async def test_a_copy_says_so(chat: Chat, context: BrowserContext) -> None:
    """On the button for a moment, and to a screen reader; nothing beside the button moves."""
    await ready(chat, context)
    after = chat.answer().get_by_role("button", name="Regenerate")
    before = await after.bounding_box()
    await chat.answer().get_by_role("button", name="Copy", exact=True).click()
    await expect(chat.answer().get_by_role("button", name="Copied", exact=True)).to_be_visible()
    await expect(chat.status).to_have_text("Copied")
    assert await after.bounding_box() == before
    await expect(chat.answer().get_by_role("button", name="Copy", exact=True)).to_be_visible()
    await expect(chat.status).to_have_text("")
    await chat.answer().locator("pre").hover()
    await chat.answer().get_by_role("button", name="Copy code").click()
    await expect(chat.answer().get_by_role("button", name="Copied")).to_be_attached()
    await expect(chat.status).to_have_text("Copied")
    await expect(chat.answer().get_by_role("button", name="Copy code")).to_be_attached()


async def test_a_copy_that_fails_says_so(chat: Chat) -> None:
    """The browser may refuse it: then nothing claims that it was copied."""
    await chat.ask("show me", "markdown")
    await chat.ends("complete")
    await chat.page.evaluate(
        "() => { navigator.clipboard.write = async () => { throw new DOMException('no', 'NotAllowedError'); }; }"
    )
    await chat.answer().get_by_role("button", name="Copy", exact=True).click()
    await expect(chat.page.locator("[data-part=toast-text]")).to_contain_text("Couldn't copy")
    await expect(chat.answer().get_by_role("button", name="Copied")).to_have_count(0)
