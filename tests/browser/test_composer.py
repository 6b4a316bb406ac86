"""The composer: models, parameters, images, drafts."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.async_api import BrowserContext, FilePayload, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.support.server import LiveServer

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="
)

# Give the composer a file as a paste or a drop would.
GIVE = """([kind, type, data]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    transfer.items.add(new File([bytes], "mill.png", { type }));
    const init = { bubbles: true, cancelable: true, clipboardData: transfer, dataTransfer: transfer };
    const event = kind === "paste" ? new ClipboardEvent("paste", init) : new DragEvent("drop", init);
    return document.getElementById("prompt").dispatchEvent(event);
}"""


# Drag a file over a part of the page, or drop it there; tell whether it was left to the browser.
DROP = """([kind, part]) => {
    const dataTransfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(PIXEL), (each) => each.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], "mill.png", { type: "image/png" }));
    const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer });
    return document.querySelector(part).dispatchEvent(event);
}""".replace("PIXEL", repr(base64.b64encode(PIXEL).decode()))

# Paste something that is there in several kinds; tell whether it was left to the browser.
PASTE = """(kinds) => {
    const clipboardData = new DataTransfer();
    for (const kind of kinds) {
        if (kind.startsWith("text/")) clipboardData.setData(kind, "mill");
        else {
            const bytes = Uint8Array.from(atob(PIXEL), (each) => each.charCodeAt(0));
            clipboardData.items.add(new File([bytes], "mill.png", { type: kind }));
        }
    }
    const event = new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData });
    return document.getElementById("prompt").dispatchEvent(event);
}""".replace("PIXEL", repr(base64.b64encode(PIXEL).decode()))


DRAW = """async ([width, height]) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    return canvas.toDataURL("image/png").split(",")[1];
}"""


def file(data: bytes) -> FilePayload:
    """A file as somebody chooses it."""
    return {"name": "mill.png", "mimeType": "image/png", "buffer": data}


async def give(chat: Chat, kind: str, media_type: str = "image/png") -> bool:
    """Paste or drop a file; tell whether it was left to the browser."""
    data = base64.b64encode(PIXEL).decode()
    return bool(await chat.page.evaluate(GIVE, [kind, media_type, data]))


async def open_options(chat: Chat) -> None:
    """Open the panel with the parameters."""
    await chat.page.get_by_role("button", name="Chat settings").click()


async def test_models_are_grouped_by_backend(chat: Chat) -> None:
    """Each backend is a group, and its models are named without it."""
    group = chat.page.locator("#model optgroup")
    await expect(group).to_have_attribute("label", "scripted")
    await expect(group.locator("option", has_text=re.compile("^echo$"))).to_have_attribute(
        "value", "scripted/echo"
    )


async def test_parameters_go_along_with_the_first_prompt(chat: Chat, server: LiveServer) -> None:
    """And the session keeps them: they are there after a reload."""
    await open_options(chat)
    await chat.page.get_by_label("System prompt", exact=True).fill("Be brief.")
    await chat.page.get_by_label("Temperature").fill("0.5")
    await chat.page.get_by_role("button", name="Done").click()
    await chat.ask("hello", "short")
    await chat.ends("complete")
    session_id = chat.page.url.rpartition("/")[2]
    session = await server.client.get(f"/api/sessions/{session_id}")
    assert session["options"] == {"system": "Be brief.", "temperature": 0.5}
    await chat.page.reload()
    await open_options(chat)
    await expect(chat.page.get_by_label("System prompt", exact=True)).to_have_value("Be brief.")
    await expect(chat.page.get_by_label("Temperature")).to_have_value("0.5")


async def test_parameters_of_a_session_are_kept_at_once(chat: Chat, server: LiveServer) -> None:
    """A change is not lost if no prompt follows it; Clear takes all of them away."""
    await server.client.ask("s1", "hello", model="scripted/short")
    await chat.open("/sessions/s1")
    await open_options(chat)
    async with chat.page.expect_response(lambda response: response.request.method == "PATCH"):
        await chat.page.get_by_label("Seed").fill("7")
        await chat.page.get_by_label("Seed").press("Tab")
    assert (await server.client.get("/api/sessions/s1"))["options"] == {"seed": 7}
    async with chat.page.expect_response(lambda response: response.request.method == "PATCH"):
        await chat.page.get_by_role("button", name="Clear").click()
    assert (await server.client.get("/api/sessions/s1"))["options"] == {}


async def test_a_parameter_that_does_not_fit_is_not_sent(chat: Chat) -> None:
    """The panel opens at the field."""
    await open_options(chat)
    await chat.page.get_by_label("Temperature").fill("3")
    await chat.page.get_by_role("button", name="Done").click()
    await chat.ask("hello", "short")
    await expect(chat.page.get_by_label("Temperature")).to_be_focused()
    await expect(chat.prompts).to_have_count(0)


async def test_enter_in_a_parameter_sends_nothing(chat: Chat) -> None:
    """It closes the panel."""
    await chat.box.fill("not yet")
    await open_options(chat)
    await chat.page.get_by_label("Seed").fill("7")
    await chat.page.get_by_label("Seed").press("Enter")
    await expect(chat.page.locator("#options")).to_be_hidden()
    await expect(chat.prompts).to_have_count(0)


async def test_images_are_pasted_dropped_and_chosen(chat: Chat) -> None:
    """Each becomes a thumbnail, and can be taken away again."""
    await chat.choose("vision")
    thumbnails = chat.page.locator(".thumbnails img")
    assert not await give(chat, "paste")
    await expect(thumbnails).to_have_count(1)
    assert not await give(chat, "drop")
    await expect(thumbnails).to_have_count(2)
    await chat.page.locator("[data-part=files]").set_input_files([file(PIXEL)])
    await expect(thumbnails).to_have_count(3)
    for left in (2, 1, 0):
        await chat.page.get_by_role("button", name="Remove mill.png").first.click()
        await expect(thumbnails).to_have_count(left)
    await expect(chat.page.locator(".thumbnails")).to_be_hidden()


async def test_an_image_may_be_dropped_anywhere(chat: Chat) -> None:
    """The browser would leave the page for it; but a field for files has its own use of them."""
    await chat.choose("vision")
    for part in (".scroll", ".top", ".sidebar"):
        for kind in ("dragover", "drop"):
            assert not await chat.page.evaluate(DROP, [kind, part]), part
        await expect(chat.page.locator(".box")).not_to_have_class("box target")
    await expect(chat.page.locator(".thumbnails img")).to_have_count(3)
    assert await chat.page.evaluate(DROP, ["drop", "#preferences input[type=file]"])
    await expect(chat.page.locator(".thumbnails img")).to_have_count(3)


async def test_the_focus_stays_with_the_images(chat: Chat) -> None:
    """Whoever takes one away by keyboard is at the next one, in the end at the message box."""
    await chat.choose("vision")
    for _ in range(3):
        await give(chat, "paste")
    removes = chat.page.get_by_role("button", name="Remove mill.png")
    await expect(removes).to_have_count(3)
    await removes.nth(1).press("Enter")
    await expect(removes).to_have_count(2)
    await expect(removes.nth(1)).to_be_focused()
    await removes.nth(1).press("Enter")
    await expect(removes.nth(0)).to_be_focused()
    await removes.nth(0).press("Enter")
    await expect(chat.box).to_be_focused()


async def test_images_go_along_with_the_prompt(chat: Chat) -> None:
    """They are shown with it, also after a reload, and the composer lets go of them."""
    await chat.choose("vision")
    await give(chat, "paste")
    await chat.ask("what is this")
    await chat.ends("complete")
    pictures = chat.page.locator("article[data-role=user] img")
    await expect(pictures).to_have_count(1)
    await expect(chat.page.locator(".thumbnails")).to_be_hidden()
    for _ in range(2):
        link = chat.page.locator("article[data-role=user] a:has(img)")
        await expect(link).to_have_attribute("href", re.compile("^/api/images/"))
        await chat.page.reload()
    await expect(pictures).to_have_count(1)
    assert await pictures.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1


async def test_an_edited_prompt_keeps_its_images(chat: Chat) -> None:
    """Those that were just sent, and those that came with the page."""
    await chat.choose("vision")
    await give(chat, "paste")
    await chat.ask("what is this")
    for text in ("and what is it now", "and at last"):
        await chat.ends("complete")
        prompt = chat.page.locator("article[data-role=user]")
        await prompt.get_by_text("Edit", exact=True).click()
        await prompt.get_by_label("Edit message").fill(text)
        await prompt.get_by_role("button", name="Send").click()
        await expect(chat.prompts).to_have_text([text])
        await expect(chat.text()).to_have_text(f"I see 1 image of {len(PIXEL)} bytes together.")
        await chat.ends("complete")
        await expect(prompt.locator("img")).to_have_count(1)
        await chat.page.reload()


async def test_images_alone_are_no_prompt(chat: Chat) -> None:
    """The browser says what is missing, in its own words."""
    await chat.choose("vision")
    await give(chat, "paste")
    await expect(chat.page.locator(".thumbnails img")).to_have_count(1)
    await chat.box.evaluate(
        "box => { window.told = 0; box.addEventListener('invalid', () => { told += 1; }); }"
    )
    await chat.box.press("Enter")
    assert await chat.page.evaluate("told") == 1
    await expect(chat.prompts).to_have_count(0)


async def test_a_file_that_is_no_known_image_is_refused(chat: Chat) -> None:
    """With its name."""
    await chat.choose("vision")
    await give(chat, "paste", "image/tiff")
    await expect(chat.page.get_by_role("alert")).to_contain_text("mill.png")
    await expect(chat.page.locator(".thumbnails img")).to_have_count(0)


async def test_a_file_that_is_broken_is_refused(chat: Chat) -> None:
    """Before it is sent."""
    await chat.choose("vision")
    await chat.page.locator("[data-part=files]").set_input_files([file(PIXEL[:20])])
    await expect(chat.page.get_by_role("alert")).to_contain_text("mill.png")
    await expect(chat.page.locator(".thumbnails img")).to_have_count(0)


@pytest.mark.parametrize(
    ("size", "sent"), [((6000, 2000), [2048, 683]), ((900, 3000), [614, 2048]), ((2048, 16), [2048, 16])]
)
async def test_a_large_image_is_sent_as_large_as_models_look(
    chat: Chat, size: tuple[int, int], sent: list[int]
) -> None:
    """A photo of a telephone would be too large otherwise; its sides keep their ratio."""
    await chat.choose("vision")
    data = await chat.page.evaluate(DRAW, list(size))
    await chat.page.locator("[data-part=files]").set_input_files([file(base64.b64decode(data))])
    await chat.ask("what is this")
    await chat.ends("complete")
    await chat.page.reload()
    image = chat.page.locator("article[data-role=user] img")
    natural = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert await image.evaluate(natural) == sent


async def test_a_paste_without_files_is_left_to_the_browser(chat: Chat) -> None:
    """So is text with a picture of it, which office programs copy."""
    for kinds in (["text/plain"], ["text/plain", "text/html", "image/png"]):
        assert await chat.page.evaluate(PASTE, kinds)
    await expect(chat.page.get_by_role("alert")).to_be_hidden()
    await expect(chat.page.locator(".thumbnails img")).to_have_count(0)


async def test_a_picture_that_was_copied_from_a_page_is_added(chat: Chat) -> None:
    """It comes with its address as HTML, a file with its name as text."""
    await chat.choose("vision")
    for number, kinds in enumerate((["text/html", "image/png"], ["text/plain", "image/png"]), start=1):
        assert not await chat.page.evaluate(PASTE, kinds)
        await expect(chat.page.locator(".thumbnails img")).to_have_count(number)


@pytest.mark.parametrize("kind", ["paste", "drop"])
async def test_a_file_that_is_no_image_is_refused(chat: Chat, kind: str) -> None:
    """With its name, as one that was chosen is."""
    await chat.choose("vision")
    assert not await give(chat, kind, "application/pdf")
    await expect(chat.page.get_by_role("alert")).to_contain_text("mill.png")


async def test_an_image_that_could_not_be_added_holds_up_no_prompt(
    chat: Chat, context: BrowserContext
) -> None:
    """What adds images is loaded with the first one, and may not come."""
    await chat.ask("before")
    await chat.ends("complete")  # so the page is connected: that would take the complaint back
    await chat.choose("vision")
    await context.route("**/composer/images*", lambda route: route.abort())
    assert not await give(chat, "paste")
    await expect(chat.page.get_by_role("alert")).to_contain_text("Check your connection")
    await chat.ask("hello")
    await chat.ends("complete")
    await expect(chat.page.get_by_role("alert")).to_be_hidden()


async def test_another_model_takes_back_what_was_said_about_the_last(chat: Chat) -> None:
    """So does an image that is taken away."""
    await chat.choose("vision")
    await give(chat, "paste")
    complaint = chat.page.get_by_role("alert")
    for mend in (chat.choose("vision"), chat.page.get_by_role("button", name="Remove mill.png").click()):
        await chat.choose("echo")
        await chat.box.fill("what is this")
        await chat.box.press("Enter")
        await expect(complaint).to_contain_text("can't see images")
        await mend
        await expect(complaint).to_be_hidden()


async def test_what_is_composed_outlasts_the_prompt_before(chat: Chat, context: BrowserContext) -> None:
    """The text of a prompt leaves the box once an input method has done with the text behind it."""
    held = await hold(chat, POSTS)
    await chat.ask("first", "short")
    await chat.box.press("ControlOrMeta+End")
    keys = await context.new_cdp_session(chat.page)
    await keys.send("Input.imeSetComposition", {"text": "にほ", "selectionStart": 2, "selectionEnd": 2})
    await expect(chat.box).to_have_value("firstにほ")
    held.release()
    await chat.ends("complete")
    await keys.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    await keys.send("Input.insertText", {"text": "日本"})
    await expect(chat.box).to_have_value("日本")


async def test_settings_of_a_new_chat_outlast_a_reload(chat: Chat, server: LiveServer) -> None:
    """The next new chat has none of them."""
    await open_options(chat)
    await chat.page.get_by_label("System prompt", exact=True).fill("Be brief.")
    await chat.page.get_by_label("Stop sequences, one per line").fill("a\nb")
    await chat.page.get_by_label("Seed").fill("7")
    await chat.page.get_by_role("button", name="Done").click()
    await chat.page.reload()
    await chat.alive()
    await chat.ask("hello", "short")
    await chat.ends("complete")
    session = await server.client.get(f"/api/sessions/{chat.page.url.rpartition('/')[2]}")
    assert session["options"] == {"system": "Be brief.", "stop": ["a", "b"], "seed": 7}
    await chat.open("/")
    await open_options(chat)
    await expect(chat.page.get_by_label("Seed")).to_have_value("")


async def test_settings_that_change_while_the_first_prompt_is_sent_are_kept(
    chat: Chat, context: BrowserContext, server: LiveServer
) -> None:
    """The prompt carries those from before."""
    held = await hold(chat, POSTS)
    await chat.ask("hello", "short")
    await open_options(chat)
    await chat.page.get_by_label("Seed").fill("7")
    await chat.page.get_by_label("Seed").press("Enter")
    async with chat.page.expect_response(lambda response: response.request.method == "PATCH"):
        held.release()
    session = await server.client.get(f"/api/sessions/{chat.page.url.rpartition('/')[2]}")
    assert session["options"] == {"seed": 7}


async def test_settings_that_are_refused_are_told_where_they_are(chat: Chat, server: LiveServer) -> None:
    """The panel would cover what is said at the message box."""
    await server.client.ask("s1", "hello", model="scripted/short")
    await chat.open("/sessions/s1")
    await open_options(chat)
    system = chat.page.get_by_label("System prompt", exact=True)
    await system.fill("x" * 300_000)
    await system.press("Tab")
    told = chat.page.locator("#options").get_by_role("alert").filter(visible=True)
    await expect(told).to_contain_text("bytes")
    await system.fill("x")
    await system.press("Tab")
    await expect(told).to_have_count(0)


async def test_a_model_that_cannot_see_gets_no_images(chat: Chat) -> None:
    """There is no button for them, and one that was added before is not dropped in silence."""
    await chat.choose("vision")
    await give(chat, "paste")
    await chat.choose("echo")
    await expect(chat.page.locator("[data-part=attach]")).to_be_hidden()
    await chat.box.fill("what is this")
    await chat.box.press("Enter")
    await expect(chat.page.get_by_role("alert")).to_contain_text("can't see images")
    await expect(chat.prompts).to_have_count(0)


async def test_each_session_has_its_own_draft(chat: Chat, server: LiveServer) -> None:
    """What was typed in one is not seen in another, and is there again on the way back."""
    drafts = {"s1": "half a thought", "s2": "quite another one"}
    for session_id in drafts:
        await server.client.ask(session_id, "hello", model="scripted/short")
    for session_id, draft in drafts.items():
        await chat.open(f"/sessions/{session_id}")
        await expect(chat.box).to_have_value("")
        await chat.box.fill(draft)
    for session_id, draft in drafts.items():
        await chat.open(f"/sessions/{session_id}")
        await expect(chat.box).to_have_value(draft)


async def test_a_new_chat_has_the_model_that_was_chosen_last(
    chat: Chat, context: BrowserContext, server: LiveServer
) -> None:
    """Also in another tab; a session keeps the model that answered in it."""
    await server.client.ask("s1", "hello", model="scripted/short")
    await chat.choose("markdown")
    other = Chat(await context.new_page(), server.url)
    for page in (chat, other):
        await page.open("/")
        await expect(page.page.get_by_label("Model", exact=True)).to_have_value("scripted/markdown")
        await page.open("/sessions/s1")
        await expect(page.page.get_by_label("Model", exact=True)).to_have_value("scripted/short")
