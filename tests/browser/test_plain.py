"""The page without JavaScript."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, expect

from app.web.page.noscript.growing_page import COOKIE
from tests.browser.chat import Chat
from tests.browser.slow import Slow
from tests.browser.test_composer import PIXEL, file
from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve
from tests.support.waiting import until


@pytest_asyncio.fixture(loop_scope="session")
async def plain(browser: Browser, server: LiveServer) -> AsyncIterator[Chat]:
    """The page of a new session, in a browser that runs no scripts."""
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    chat = Chat(await context.new_page(), server.url)
    await chat.page.goto(server.url)
    yield chat
    await context.close()


async def test_the_answer_streams_into_the_page(plain: Chat, server: LiveServer) -> None:
    """A prompt is a form; the page that comes back grows with the answer, and has a Stop above it meanwhile."""
    await plain.choose("long")
    await plain.box.fill("tell a long story")
    await plain.send.click()
    await expect(plain.text()).to_contain_text("The river turns the wheel")
    await expect(plain.answer().locator("[data-part=thinking]")).to_be_hidden()
    before = len(await plain.words())
    await expect(plain.text()).not_to_have_text(await plain.words())
    assert len(await plain.words()) > before
    stop, text = await plain.stop.bounding_box(), await plain.text().bounding_box()
    assert stop is not None
    assert text is not None
    assert stop["y"] + stop["height"] <= text["y"]
    await expect(plain.box).to_have_count(0)  # it comes with the rest of the page


async def test_asking_works_without_scripts(plain: Chat) -> None:
    """When the answer has ended the page is whole: the blocks alone are to be seen, and what one can do next."""
    await plain.choose("markdown")
    await plain.box.fill("hello there")
    await plain.send.click()
    await expect(plain.box).to_be_visible()
    assert await plain.prompts.text_content() == "hello there"
    await expect(plain.text().locator("h3")).to_have_text("A small table")
    await expect(plain.text().locator(".tail:visible")).to_have_count(0)
    await expect(plain.text().locator("pre .keyword").first).to_have_text("def")
    await expect(plain.answer().locator("[data-part=thinking]")).to_be_hidden()
    await expect(plain.stop).to_be_hidden()
    shown = await plain.text().locator(".block").all_inner_texts()
    await plain.page.reload()
    assert await plain.text().locator(".block").all_inner_texts() == shown


async def test_without_the_cookie_the_page_looks_again(plain: Chat) -> None:
    """Every two seconds while an answer is written, and then no more."""
    await plain.choose("slow-start")
    await plain.box.fill("hello there")
    await plain.send.click()
    await expect(plain.answers).to_have_count(1)
    await plain.page.context.clear_cookies()
    await plain.page.goto(plain.page.url)
    await expect(plain.box).to_be_visible()
    await plain.ends("complete")
    assert await plain.words() == "Good things take time."
    await expect(plain.page.locator("noscript meta")).to_have_count(0)


async def test_stopping_works_without_scripts(plain: Chat) -> None:
    """Stop is a form too; the partial answer stays, labelled."""
    await plain.choose("long")
    await plain.box.fill("tell a long story")
    await plain.send.click()
    await expect(plain.text()).to_contain_text("The river turns the wheel")
    await plain.stop.click()
    await plain.ends("stopped")
    await expect(plain.answer().locator("[data-part=label]")).to_have_text("Stopped")
    await expect(plain.stop).to_be_hidden()


async def test_a_refused_form_keeps_what_was_typed(plain: Chat) -> None:
    """A prompt of spaces is refused with a sentence, and the page is usable as before."""
    await plain.box.fill("   ")
    await plain.send.click()
    await expect(plain.page.get_by_role("alert")).to_contain_text("empty")
    await plain.choose("short")
    await plain.box.fill("now with words")
    await plain.send.click()
    await expect(plain.text().locator(".block")).to_have_text("Hello! What would you like to know?")


async def test_retry_works_without_scripts(plain: Chat) -> None:
    """A failed answer has a Retry that is a form."""
    await plain.choose("error")
    await plain.box.fill("will this work")
    await plain.send.click()
    await plain.answer().get_by_role("button", name="Retry").click()
    await expect(plain.answer().get_by_text("2/2")).to_be_visible()
    await expect(plain.prompts).to_have_text(["will this work"])


async def test_branches_work_without_scripts(plain: Chat) -> None:
    """Regenerate and Edit are forms, the way back is a link."""
    await plain.choose("echo")
    await plain.box.fill("one")
    await plain.send.click()
    await expect(plain.box).to_be_visible()
    await plain.answer().get_by_role("button", name="Regenerate").click()
    await expect(plain.answer().get_by_text("2/2")).to_be_visible()
    await expect(plain.box).to_be_visible()
    await plain.page.get_by_text("Edit", exact=True).click()
    await plain.page.get_by_label("Edit message").fill("uno")
    await plain.page.locator(".edit").get_by_role("button", name="Send").click()
    await expect(plain.prompts).to_have_text(["uno"])
    await expect(plain.box).to_be_visible()
    await plain.page.locator("article[data-role=user]").get_by_label("Previous version").click()
    await expect(plain.prompts).to_have_text(["one"])
    await expect(plain.answer().get_by_text("2/2")).to_be_visible()


async def test_an_answer_goes_on_without_scripts(plain: Chat) -> None:
    """Continue is a form, too."""
    await plain.choose("long")
    await plain.box.fill("tell a long story")
    await plain.send.click()
    await plain.stop.click()
    await plain.ends("stopped")
    begun = await plain.words()
    await plain.answer().get_by_role("button", name="Continue").click()
    await expect(plain.text()).not_to_have_text(begun)
    await plain.stop.click()
    await plain.ends("stopped")
    await expect(plain.answers).to_have_count(1)
    assert len(await plain.words()) > len(begun)


async def test_images_are_sent_without_scripts(plain: Chat) -> None:
    """The browser's own field takes them; they stand with the prompt."""
    await plain.choose("vision")
    await plain.page.locator("input[name=images]").set_input_files([file(PIXEL)])
    await plain.box.fill("what is this")
    await plain.send.click()
    await expect(plain.text().locator(".block")).to_have_text(
        f"I see 1 image of {len(PIXEL)} bytes together."
    )
    await expect(plain.box).to_be_visible()
    source = await plain.page.locator("article[data-role=user] img").get_attribute("src")
    assert await (await plain.page.request.get(f"{plain.url}{source}")).body() == PIXEL


async def test_parameters_work_without_scripts(plain: Chat, server: LiveServer) -> None:
    """The panel is a part of the form; an answer that is cut off by its limit says so, and can go on."""
    await plain.page.get_by_role("button", name="Chat settings").click()
    await plain.page.get_by_label("System prompt", exact=True).fill("Be brief.")
    await plain.page.get_by_label("Maximum tokens").fill("2")
    await plain.page.get_by_role("button", name="Done").click()
    await plain.choose("echo")
    await plain.box.fill("one two three four")
    await plain.send.click()
    await expect(plain.box).to_be_visible()
    await expect(plain.text().locator(".block")).to_have_text("one two")
    await expect(plain.answer().locator("[data-part=label]")).to_have_text("Reached the token limit")
    await expect(plain.answer().get_by_role("button", name="Continue")).to_be_visible()
    await expect(plain.page.get_by_label("System prompt", exact=True)).to_have_value("Be brief.")
    assert server.scripted.requests[-1].options.system == "Be brief."


async def test_reasoning_streams_into_the_page(browser: Browser, tmp_path: Path) -> None:
    """Folded, above the answer; unfolded, it can be read while the model thinks."""
    backend = PuppetBackend()
    async with serve(tmp_path, extra=(backend,)) as server:
        await server.client.post("s1", "why", model="puppet/puppet")
        context = await browser.new_context(java_script_enabled=False)
        await context.add_cookies([{"name": COOKIE, "value": "1", "url": server.url}])
        plain = Chat(await context.new_page(), server.url)
        await plain.page.goto(f"{server.url}/sessions/s1", wait_until="commit")
        thinking = plain.answer().locator("[data-part=thinking]")
        await expect(thinking).to_be_visible()
        await expect(plain.stop).to_be_visible()
        await until(lambda: len(backend.generations) > 0)
        model = backend.generations[0]
        model.say("A river", kind="reasoning")
        thought = plain.answer().locator("[data-part=reasoning]")
        await expect(thought).to_be_hidden()
        await plain.answer().get_by_text("Reasoning", exact=True).click()
        await expect(thought).to_have_text("A river")
        model.say(" flows.", kind="reasoning")
        await expect(thought).to_have_text("A river flows.")
        await expect(thinking).to_be_visible()
        model.say("It flows.")
        await expect(thinking).to_be_hidden()
        await expect(thought).to_be_visible()
        model.finish()
        await expect(plain.text().locator(".block")).to_have_text("It flows.")
        above, below = await thought.bounding_box(), await plain.text().bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"]
        shown = await thought.text_content()
        await plain.page.reload()
        await expect(plain.answer().locator("summary").first).to_have_text(re.compile(r"^Thought for \d+ s$"))
        assert await thought.text_content() == shown
        await context.close()


async def test_thinking_goes_however_the_page_arrives(browser: Browser, tmp_path: Path) -> None:
    """A slow network cuts the page between any two tags, and the browser may draw it at each cut."""
    backend = PuppetBackend()
    async with serve(tmp_path, extra=(backend,)) as server, AsyncExitStack() as stack:
        await server.client.post("s1", "why", model="puppet/puppet")
        slow = await stack.enter_async_context(Slow.before(server.url))
        context = await browser.new_context(java_script_enabled=False)
        stack.push_async_callback(context.close)
        await context.add_cookies([{"name": COOKIE, "value": "1", "url": slow.url}])
        plain = Chat(await context.new_page(), slow.url)
        await plain.page.goto(f"{slow.url}/sessions/s1", wait_until="commit")
        thinking = plain.answer().locator("[data-part=thinking]")
        await expect(thinking).to_be_visible()
        await until(lambda: len(backend.generations) > 0)
        slow.hold()
        backend.generations[0].say("It flows.")
        while not await plain.text().count() or await plain.words() != "It flows.":
            await slow.let_through()
            await thinking.is_visible()  # it is styled as it is now
        await expect(thinking).to_be_hidden()
        slow.release()
        backend.generations[0].finish()
        await expect(plain.box).to_be_visible()


async def test_reasoning_is_folded_without_scripts(plain: Chat) -> None:
    """A click unfolds it."""
    await plain.choose("reasoning")
    await plain.box.fill("what is the answer")
    await plain.send.click()
    await expect(plain.box).to_be_visible()
    await expect(plain.text().locator(".block")).to_have_text("It is forty-two.")
    thought = plain.answer().locator("[data-part=reasoning]")
    await expect(thought).to_be_hidden()
    await plain.answer().get_by_text("Reasoning", exact=True).click()
    await expect(thought).to_be_visible()
    await expect(thought).to_have_text("The user asks. I think about it, then I answer.")


async def test_a_model_error_is_a_sentence_without_scripts(plain: Chat) -> None:
    """What had come stays, the sentence stands under it, and the details are folded."""
    await plain.choose("error-middle")
    await plain.box.fill("will this work")
    await plain.send.click()
    await expect(plain.box).to_be_visible()
    await expect(plain.text().locator(".block")).to_have_text("It begins well, and then")
    await expect(plain.answer().locator("[data-part=problem-text]")).to_contain_text(
        "The scripted model failed"
    )
    await expect(plain.answer().locator("[data-part=problem-code]")).to_be_hidden()
    await expect(plain.answer().get_by_role("button", name="Retry")).to_be_visible()


async def test_an_interrupted_answer_is_labelled_without_scripts(browser: Browser, tmp_path: Path) -> None:
    """The server went down while it was written: what there is can be read, and go on."""
    async with serve(tmp_path, drain_timeout=0.1) as first:
        posted = await first.client.post("s1", "hello", model="scripted/hang-middle")
        async with first.client.events(posted["events_url"]) as events:
            async for event in events:
                if event.data.get("text", "").endswith("then"):
                    break
    context = await browser.new_context(java_script_enabled=False)
    async with serve(tmp_path) as second:
        page = Chat(await context.new_page(), second.url)
        await page.page.goto(f"{second.url}/sessions/s1")
        await page.ends("interrupted")
        await expect(page.text().locator(".block")).to_have_text("It begins well, and then")
        await expect(page.answer().locator("[data-part=label]")).to_have_text("Interrupted")
        await expect(page.answer().locator("[data-part=thinking]")).to_be_hidden()
        await expect(page.answer().get_by_role("button", name="Continue")).to_be_visible()
        await context.close()
