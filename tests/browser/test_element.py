"""`<tailrace-chat>` on pages of others, in a real browser: asking, stopping, errors, and what it keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.browser.embedded import LISTEN, Scene, scene
from tests.browser.held import POSTS, Held
from tests.support.waiting import until

MARKDOWN = """# Heading

Some *text* with `code` and [a link](https://example.org/).

| a | b |
|---|--:|
| 1 | 2 |

```py
number = 1
```

- [x] done

$x^2$
"""
BLOCKS = """(host) => Array.from(host.shadowRoot.querySelectorAll(".block"), (block) => {
  for (const button of block.querySelectorAll(".copy-code")) button.remove();
  for (const box of block.querySelectorAll("[tabindex]")) box.removeAttribute("tabindex");
  return block.innerHTML;
})"""
PARSED = """(blocks) => blocks.map((html) => {
  const box = document.createElement("div");
  box.innerHTML = html;
  return box.innerHTML;
})"""


@pytest_asyncio.fixture(loop_scope="session")
async def at(browser: Browser, tmp_path: Path) -> AsyncIterator[Scene]:
    """The element on a page of a listed origin, with a strict policy, in a session that does not exist yet."""
    async with scene(browser, tmp_path) as made:
        yield made


async def test_an_answer_as_it_comes(at: Scene) -> None:
    """First that the model thinks, then its text, then blocks; the box is empty again, and a reader hears of it."""
    model = await at.ask("hello")
    await expect(at.chat.prompts).to_have_text(["hello"])
    await expect(at.chat.answers.get_by_text("Thinking…")).to_be_visible()
    await expect(at.chat.box).to_have_value("")
    await expect(at.chat.status).to_have_text("Generating")
    model.say("One *par", "agraph*.\n\nAnd", " another")
    await expect(at.chat.text()).to_have_text("One paragraph.And another")
    await expect(at.chat.text().locator("em")).to_have_text("paragraph")
    await expect(at.chat.answers.get_by_text("Thinking…")).to_be_hidden()
    model.finish()
    await at.chat.ends("complete")
    await expect(at.chat.text().locator(".block")).to_have_text(["One paragraph.", "And another"])
    await expect(at.chat.text().locator(".tail")).to_be_empty()
    await expect(at.chat.status).to_have_text("Answer complete")


async def test_what_a_model_does_before_it_answers(at: Scene) -> None:
    """Its note takes the place of "Thinking…"; what it thinks is folded, and stays."""
    model = await at.ask("hello")
    model.note("Searching the web…")
    await expect(at.chat.answers.get_by_text("Searching the web…")).to_be_visible()
    model.say("The reader says hello.", kind="reasoning")
    await at.chat.answers.get_by_text("Reasoning").click()
    await expect(at.chat.answers.get_by_text("The reader says hello.")).to_be_visible()
    model.say("Hi")
    await expect(at.chat.text()).to_have_text("Hi")
    await expect(at.chat.answers.get_by_text("Searching the web…")).to_be_hidden()
    model.finish()
    await at.chat.ends("complete")
    await at.chat.page.reload()
    await at.chat.answers.get_by_text("Reasoning").click()
    await expect(at.chat.answers.get_by_text("The reader says hello.")).to_be_visible()


async def test_a_long_chat_begins_with_its_newest_messages(at: Scene) -> None:
    """At its end; earlier ones are a click away, and what is read stays where it is."""
    for number in range(20):
        await at.server.client.ask("s1", f"message {number}", model="scripted/echo")
    await at.chat.page.reload()
    await expect(at.chat.prompts).to_have_count(15)
    await expect(at.chat.text()).to_be_in_viewport()
    earlier = at.chat.page.get_by_role("button", name="Show earlier messages")
    await earlier.scroll_into_view_if_needed()
    first = at.chat.prompts.filter(has_text="message 5").first
    before = await first.bounding_box()
    await earlier.click()
    await expect(at.chat.prompts).to_have_count(20)
    await expect(earlier).to_be_hidden()
    after = await first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 60  # the button is gone


async def test_a_reload_shows_the_answer_once(at: Scene) -> None:
    """In its middle and after its end; what comes meanwhile is there, too."""
    model = await at.ask("hello")
    model.say("One ", "two ")
    await expect(at.chat.text()).to_have_text("One two ")
    await at.chat.page.reload()
    await expect(at.chat.text()).to_have_text("One two ")
    model.say("three.")
    await expect(at.chat.text()).to_have_text("One two three.")
    model.finish()
    await at.chat.ends("complete")
    await at.chat.page.reload()
    await expect(at.chat.text()).to_have_text("One two three.")
    await expect(at.chat.prompts).to_have_count(1)
    await expect(at.chat.answers).to_have_count(1)


async def test_stop_reaches_the_model(at: Scene) -> None:
    """The button ends the generation; what came stays, with a label."""
    model = await at.ask("hello")
    model.say("One ")
    await expect(at.chat.text()).to_have_text("One ")
    await at.chat.stop.click()
    await until(model.aborted.is_set)
    await at.chat.ends("stopped")
    await expect(at.chat.label()).to_have_text("Stopped")
    await expect(at.chat.stop).to_be_hidden()
    await expect(at.chat.send).to_be_visible()
    await expect(at.chat.status).to_have_text("Stopped")


async def test_a_stop_may_come_before_the_stream_is_known(at: Scene) -> None:
    """The server has the prompt, but the answer to the POST is on its way: the model is stopped once it comes."""
    held = asyncio.Event()

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        await held.wait()
        await route.fulfill(response=response)

    await at.chat.page.route("**/api/sessions/*/streams", answer_late)
    model = await at.ask("hello")
    await at.chat.stop.click()
    await expect(at.chat.host.get_by_role("button", name="Stopping…")).to_be_visible()
    assert not model.aborted.is_set()
    held.set()
    await until(model.aborted.is_set)
    await at.chat.ends("stopped")


async def test_a_newer_prompt_replaces_the_answer(at: Scene) -> None:
    """The first model is aborted, the second one answers; both are shown as they came."""
    first = await at.ask("one")
    first.say("First")
    await expect(at.chat.text(0)).to_have_text("First")
    second = await at.ask("two")
    await until(first.aborted.is_set)
    second.say("Second")
    second.finish()
    await at.chat.ends("complete", 1)
    await at.chat.ends("superseded", 0)
    await expect(at.chat.label(0)).to_have_text("Replaced by a newer message")
    await expect(at.chat.text(1)).to_have_text("Second")
    await expect(at.chat.prompts).to_have_text(["one", "two"])


async def test_blocks_are_those_of_the_api(at: Scene) -> None:
    """Live and after a reload, the browser's sanitizer takes nothing away from what the server rendered."""
    model = await at.ask("show me")
    model.say(*MARKDOWN.splitlines(keepends=True))
    model.finish()
    await at.chat.ends("complete")
    snapshot = await at.server.client.get("/api/sessions/s1?render=html")
    blocks = snapshot["messages"][-1]["blocks"]
    await expect(at.chat.text().locator(".block")).to_have_count(len(blocks))
    blank = await at.chat.page.context.new_page()  # without a policy
    whole = await blank.evaluate(PARSED, blocks)
    assert await at.chat.host.evaluate(BLOCKS) == whole
    await at.chat.page.reload()
    await expect(at.chat.text().locator(".block")).to_have_count(len(blocks))
    assert await at.chat.host.evaluate(BLOCKS) == whole


async def test_without_the_browsers_sanitizer(browser: Browser, tmp_path: Path) -> None:
    """Where there is no `setHTML` a policy of the element's own lets the server's HTML in, if the page names it."""
    policy = (
        "default-src 'none'; script-src {url}; connect-src {url}; require-trusted-types-for 'script'; "
        "trusted-types tailrace"
    )
    init = "delete Element.prototype.setHTML"
    async with scene(browser, tmp_path, policy=policy, init=init) as at:
        model = await at.ask("show me")
        model.say(MARKDOWN)
        model.finish()
        await at.chat.ends("complete")
        await expect(at.chat.text().locator(".block > table")).to_be_visible()


async def test_by_keyboard_alone(at: Scene) -> None:
    """Tab leads to the log, the box and its buttons; Enter sends, with Shift it begins a line, and Escape stops."""
    keyboard = at.chat.page.keyboard
    await expect(at.chat.box).to_be_visible()
    await at.chat.page.evaluate("""() => {
      window.stolen = "";
      addEventListener("keydown", (event) => { if (event.key.length === 1) window.stolen += event.key; });
    }""")
    await keyboard.press("Tab")
    await expect(at.chat.log).to_be_focused()
    await keyboard.press("Tab")
    await expect(at.chat.box).to_be_focused()
    await keyboard.type("one")
    await keyboard.press("Shift+Enter")
    await keyboard.type("two")
    await expect(at.chat.box).to_have_value("one\ntwo")
    await keyboard.press("Enter")
    model = await at.generation()
    assert model.request.messages[-1].content == "one\ntwo"
    await expect(at.chat.stop).to_be_visible()
    await keyboard.press("Tab")
    await expect(at.chat.stop).to_be_focused()
    await keyboard.press("Space")
    await until(model.aborted.is_set)
    await at.chat.ends("stopped")
    await expect(at.chat.box).to_be_focused()
    await keyboard.type("three")
    await keyboard.press("Enter")
    second = await at.generation(2)
    await keyboard.press("Escape")
    await until(second.aborted.is_set)
    await at.chat.ends("stopped", 1)
    assert await at.chat.page.evaluate("window.stolen") == " ", "a shortcut of the page took what was typed"


async def test_the_page_hears_what_happens(at: Scene) -> None:
    """Events reach the document, also from inside another shadow tree, with the ids and the text of the answer."""
    await at.chat.page.evaluate(LISTEN)
    await at.chat.host.evaluate("""(host) => {
      const box = document.querySelector("main").appendChild(document.createElement("div"));
      box.attachShadow({ mode: "open" }).append(host);
    }""")
    model = await at.ask("hello")
    model.say("Hi")
    model.finish()
    await at.chat.ends("complete")
    [start], [end] = await at.chat.heard("start"), await at.chat.heard("end")
    answer = (await at.server.client.get("/api/sessions/s1"))["messages"][-1]
    assert start == {
        "session": "s1",
        "streamId": answer["stream_id"],
        "messageId": answer["message_id"],
        "model": "puppet/puppet",
    }
    assert (end["outcome"], end["text"], end["streamId"]) == ("complete", "Hi", answer["stream_id"])
    assert await at.chat.heard("error") == []


async def test_a_failed_answer_can_be_had_again(at: Scene) -> None:
    """It says why, in its place; Retry asks the model once more and puts the new answer there."""
    model = await at.ask("hello")
    model.say("Half")
    model.fail(RuntimeError("broken"))
    await at.chat.ends("failed")
    await expect(at.chat.answers.get_by_role("alert")).to_be_visible()
    await expect(at.chat.text()).to_have_text("Half")
    await at.chat.retry.click()
    again = await at.generation(2)
    again.say("Whole")
    again.finish()
    await at.chat.ends("complete")
    await expect(at.chat.text()).to_have_text("Whole")
    await expect(at.chat.answers).to_have_count(1)
    await expect(at.chat.prompts).to_have_count(1)


async def test_an_unlisted_page_says_so_in_place(browser: Browser, tmp_path: Path) -> None:
    """With a copy of the script of its own: what is wrong, and the link of the page, which works all the same."""
    page = (
        '<!doctype html><html lang="en"><title>A site</title><script type="module" src="/copy.js"></script>'
        '<tailrace-chat server="{url}" session="s1"><a href="{url}/">Open the chat</a></tailrace-chat>'
    )
    policy = "default-src 'none'; script-src 'self'; connect-src {url}"
    async with scene(browser, tmp_path, page=page, policy=policy, listed=False) as at:
        chat = at.chat
        async with at.server.client.http.get("/static/element.js") as response:
            script = await response.text()

        await chat.page.route(
            "**/copy.js", lambda route: route.fulfill(body=script, content_type="text/javascript")
        )
        await chat.page.reload()
        await expect(chat.error).to_contain_text(f"Can't reach the chat at {at.wire.url}")
        await expect(chat.error).to_contain_text(at.origin)
        await expect(chat.fallback).to_be_visible()
        await chat.ask("hello")
        await expect(chat.box).to_have_value("hello")
        await expect(chat.prompts).to_have_count(0)
        await expect(chat.retry).to_be_visible()
        refused = [line for line in at.complaints if "CORS" in line]
        assert refused == at.complaints != []
        at.complaints.clear()


async def test_an_unlisted_page_keeps_its_link(browser: Browser, tmp_path: Path) -> None:
    """It cannot load the script, so there is no chat: what stands between the tags is shown, and works."""
    async with scene(browser, tmp_path, listed=False) as at:
        await expect(at.chat.fallback).to_be_visible()
        await at.chat.fallback.click()
        await expect(at.chat.page).to_have_url(f"{at.wire.url}/")
        at.complaints.clear()


async def test_a_refused_prompt_stays_in_the_box(at: Scene) -> None:
    """Retry sends it, once the server is reached again, and the chat goes on."""
    await expect(at.chat.box).to_be_visible()
    pattern = "**/api/sessions/*/streams"
    await at.chat.page.route(pattern, lambda route: route.abort())
    await at.chat.ask("hello")
    await expect(at.chat.error).to_be_visible()
    await expect(at.chat.box).to_have_value("hello")
    await expect(at.chat.prompts).to_have_count(0)
    await at.chat.page.unroute(pattern)
    await at.chat.retry.click()
    model = await at.generation()
    await expect(at.chat.box).to_have_value("")
    await expect(at.chat.error).to_be_hidden()
    model.say("Hi")
    model.finish()
    await at.chat.ends("complete")
    await expect(at.chat.prompts).to_have_text(["hello"])


async def test_what_is_composed_outlasts_the_prompt_before(at: Scene) -> None:
    """The text of a prompt leaves the box once an input method has done with the text behind it."""
    await expect(at.chat.box).to_be_visible()
    held = Held()
    await at.chat.page.route(POSTS, held.keep)
    await at.chat.ask("first")
    await at.chat.box.press("ControlOrMeta+End")
    keys = await at.chat.page.context.new_cdp_session(at.chat.page)
    await keys.send("Input.imeSetComposition", {"text": "にほ", "selectionStart": 2, "selectionEnd": 2})
    await expect(at.chat.box).to_have_value("firstにほ")
    held.release()
    model = await at.generation()
    model.say("Hi")
    await expect(at.chat.text()).to_have_text("Hi")
    await keys.send("Input.insertText", {"text": "日本"})
    await expect(at.chat.box).to_have_value("日本")
    model.finish()


async def test_a_refusal_for_good_offers_no_retry(browser: Browser, tmp_path: Path) -> None:
    """A model that does not exist stays missing; the server's sentence comes in the language of the page."""
    async with scene(browser, tmp_path, 'session="s1" model="puppet/other" lang="de"') as at:
        box = at.chat.page.get_by_label("Nachricht", exact=True)
        await box.fill("hallo")
        await box.press("Enter")
        await expect(at.chat.error).to_contain_text("Dieses Modell gibt es nicht")
        await expect(at.chat.page.get_by_role("button", name="Erneut versuchen")).to_be_hidden()
        await expect(box).to_have_value("hallo")


async def test_code_can_be_copied(browser: Browser, tmp_path: Path) -> None:
    """By a button in it, which says so."""
    async with scene(browser, tmp_path, options={"permissions": ["clipboard-read", "clipboard-write"]}) as at:
        model = await at.ask("show me")
        model.say("```py\nnumber = 1\n```\n")
        model.finish()
        await at.chat.ends("complete")
        await at.chat.text().locator("pre").hover()
        await at.chat.page.get_by_role("button", name="Copy code").click()
        await expect(at.chat.status).to_have_text("Copied")
        assert await at.chat.page.evaluate("navigator.clipboard.readText()") == "number = 1\n"


async def test_a_sign_in_counts_on_pages_of_the_same_site(browser: Browser, tmp_path: Path) -> None:
    """Of a listed origin, if the element asks for cookies."""
    token = "a token of this test"
    settings: dict[str, Any] = {"access_token": token, "headers": {"Authorization": f"Bearer {token}"}}
    attributes = 'session="s1" credentials="include"'
    async with scene(browser, tmp_path, attributes, host="127.0.0.1", **settings) as at:
        await expect(at.chat.error).to_contain_text("token")
        await at.chat.page.goto(f"{at.wire.url}/login")
        await at.chat.page.get_by_label("token").fill(token)
        await at.chat.page.get_by_role("button", name="Sign in").click()
        await at.chat.page.goto(at.origin)
        model = await at.ask("hello")
        model.say("Hi")
        model.finish()
        await at.chat.ends("complete")


async def test_a_lost_connection_is_taken_up_again(at: Scene) -> None:
    """Meanwhile it says so; nothing is missing afterwards, and nothing is there twice."""
    model = await at.ask("hello")
    model.say("one ", "two ")
    await expect(at.chat.text()).to_have_text("one two ")
    at.wire.cut()
    await expect(at.chat.host.get_by_text("Reconnecting…")).to_be_visible()
    model.say("three ")
    at.wire.mend()
    model.say("four")
    model.finish()
    await at.chat.ends("complete")
    await expect(at.chat.text()).to_have_text("one two three four")
    await expect(at.chat.host.get_by_text("Reconnecting…")).to_be_hidden()


async def test_a_token_is_a_property(browser: Browser, tmp_path: Path) -> None:
    """Without it the server says what it wants, in place; once it is set, even before the script came, it is sent."""
    token = "a token of this test"
    headers = {"Authorization": f"Bearer {token}"}
    async with scene(browser, tmp_path, access_token=token, headers=headers) as at:
        await at.chat.page.evaluate(LISTEN)
        await expect(at.chat.error).to_contain_text("token")
        await expect(at.chat.fallback).to_be_visible()
        await at.chat.host.evaluate("(host, token) => { host.token = token; }", token)
        await expect(at.chat.error).to_be_hidden()
        await expect(at.chat.fallback).to_be_hidden()
        model = await at.ask("hello")
        model.say("Hi")
        model.finish()
        await at.chat.ends("complete")
        assert await at.chat.host.evaluate("(host) => host.outerHTML.includes('token')") is False
        early = f"document.querySelector('tailrace-chat').token = {json.dumps(token)}"
        await at.chat.page.add_init_script(
            f"document.addEventListener('readystatechange', () => {{ {early} }}, {{ once: true }})"
        )
        await at.chat.page.reload()
        await expect(at.chat.text()).to_have_text("Hi")


async def test_a_new_token_interrupts_no_typing(at: Scene) -> None:
    """A page renews it now and then: what is typed meanwhile goes on where the caret was."""
    await at.chat.box.fill("half a sentence")
    for _ in "sentence":
        await at.chat.box.press("ArrowLeft")
    await at.chat.host.evaluate("(host) => { host.token = 'a new one'; }")
    await at.chat.page.keyboard.type("long ")
    await expect(at.chat.box).to_have_value("half a long sentence")
    await at.chat.log.focus()
    await at.chat.host.evaluate("(host) => { host.token = 'the next one'; }")
    await expect(at.chat.log).to_be_focused()


async def test_jump_keeps_the_focus_in_the_chat(at: Scene) -> None:
    """The button is gone once it is pressed: the next key scrolls what it has scrolled."""
    model = await at.ask("hello")
    model.say("\n\n".join(f"Paragraph {number}" for number in range(80)))
    model.finish()
    await at.chat.ends("complete")
    jump = at.chat.page.get_by_role("button", name="Jump to latest")
    await at.chat.log.focus()
    await at.chat.page.keyboard.press("Home")
    await jump.focus()
    await at.chat.page.keyboard.press("Enter")
    await expect(jump).to_be_hidden()
    await expect(at.chat.log).to_be_focused()


async def test_a_selection_outlives_the_end_of_its_block(at: Scene) -> None:
    """What is copied meanwhile is what was selected; the block is rendered once the selection is gone."""
    model = await at.ask("hello")
    model.say("An open *paragraph*")
    tail = at.chat.text().locator(".tail")
    await expect(tail).to_have_text("An open *paragraph*")
    place = await tail.bounding_box()
    assert place
    mouse = at.chat.page.mouse
    await mouse.move(place["x"] + 1, place["y"] + 10)
    await mouse.down()
    await mouse.move(place["x"] + 60, place["y"] + 10, steps=3)
    await mouse.up()
    selected: str = await at.chat.page.evaluate("String(getSelection())")
    assert selected
    model.say(" that ends.\n\nThe next")
    model.finish()
    await at.chat.ends("complete")
    await expect(tail).to_have_text("An open *paragraph* that ends. The next")
    assert await at.chat.page.evaluate("String(getSelection())") == selected
    await at.chat.box.click()
    await expect(at.chat.text().locator(".block")).to_have_text(["An open paragraph that ends.", "The next"])
    await expect(tail).to_be_empty()


async def test_another_session_is_another_chat(at: Scene) -> None:
    """When the attribute changes; what was typed stays, and without the attribute the chat is one of the tab's own."""
    model = await at.ask("hello")
    model.say("Hi")
    model.finish()
    await at.chat.ends("complete")
    await at.chat.box.fill("not yet sent")
    await at.chat.host.evaluate("(host) => { host.session = 's2'; }")
    await expect(at.chat.answers).to_have_count(0)
    await expect(at.chat.box).to_have_value("not yet sent")
    await at.chat.host.evaluate("(host) => { host.session = 's1'; }")
    await expect(at.chat.text()).to_have_text("Hi")
    await at.chat.host.evaluate("(host) => host.removeAttribute('session')")
    await expect(at.chat.answers).to_have_count(0)
    own = await at.chat.host.evaluate("(host) => host.session")
    await at.chat.page.reload()
    await at.chat.host.evaluate("(host) => host.removeAttribute('session')")
    assert await at.chat.host.evaluate("(host) => host.session") == own != ""


async def test_a_deleted_chat_is_begun_anew(at: Scene) -> None:
    """It says that it is gone; the next message begins a new one under the same id."""
    model = await at.ask("hello")
    model.say("Hi")
    model.finish()
    await at.chat.ends("complete")
    await at.server.client.delete("/api/sessions/s1")
    await expect(at.chat.error).to_contain_text("This chat is gone")
    await expect(at.chat.text()).to_have_text("Hi")


async def test_a_page_out_of_sight_holds_no_connection(at: Scene) -> None:
    """Once its answer is over; when it is seen again, what others asked meanwhile is there."""
    model = await at.ask("hello")
    model.say("Hi")
    model.finish()
    await at.chat.ends("complete")
    await until(lambda: at.server.registry.statistics().viewers == 1)
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await at.chat.page.evaluate(hide, True)
    await until(lambda: at.server.registry.statistics().viewers == 0)
    await at.server.client.post("s1", "and you?")
    (await at.generation(2)).say("Fine")
    at.backend.generations[1].finish()
    await at.chat.page.evaluate(hide, False)
    await at.chat.ends("complete", 1)
    await expect(at.chat.text()).to_have_text("Fine")


@pytest.mark.parametrize("session", ["../models", "a b"])
async def test_an_impossible_session_is_refused_in_place(
    browser: Browser, tmp_path: Path, session: str
) -> None:
    """A page may take the id from its address: nothing is requested with it."""
    async with scene(browser, tmp_path, f'session="{session}"') as at:
        await expect(at.chat.error).to_contain_text("names a chat that can't exist")
        await expect(at.chat.retry).to_be_hidden()
