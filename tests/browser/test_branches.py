"""Another answer, another question, and the way back: a conversation has branches, and answers go on."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import BrowserContext, Locator, Route, expect

from app.backends.scripted.scripts import SCRIPTS
from tests.browser.chat import TWO_FRAMES, Chat
from tests.browser.held import BRANCHES, POSTS, hold_answers
from tests.browser.puppets import Led
from tests.support.puppet import PuppetGeneration
from tests.support.server import LiveServer

STORY = SCRIPTS["long"].text or ""
PROBLEM = '{"title": "Too many", "status": 429, "code": "too_many_streams", "detail": "Wait a moment."}'


def button(chat: Chat, name: str, index: int = -1) -> Locator:
    """Return a button under an answer."""
    return chat.answer(index).get_by_role("button", name=name, exact=True)


def say_all(generation: PuppetGeneration) -> None:
    """Let a model give a short answer."""
    generation.say("All of it.")
    generation.finish()


async def edit(chat: Chat, text: str, index: int = -1) -> None:
    """Change a prompt, and send it."""
    prompt = chat.page.locator("article[data-role=user]").nth(index)
    await prompt.get_by_text("Edit", exact=True).click()
    await prompt.get_by_label("Edit message").fill(text)
    await prompt.get_by_role("button", name="Send").click()


async def test_regenerate_puts_another_answer_in_its_place(chat: Chat) -> None:
    """The first one stays reachable; a reload shows the newest."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await chat.choose("markdown")
    await button(chat, "Regenerate").click()
    await expect(chat.answer().get_by_role("heading", name="A small table")).to_be_visible()
    await chat.ends("complete")
    await expect(chat.prompts).to_have_text(["hello"])
    await expect(chat.answer().get_by_text("2/2")).to_be_visible()
    await chat.page.reload()
    await expect(chat.answer().get_by_text("2/2")).to_be_visible()
    await expect(chat.answer().get_by_role("heading", name="A small table")).to_be_visible()


async def test_branches_are_switched_without_a_reload(chat: Chat) -> None:
    """Each has an address of its own, which Back and a reload know."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    first = await chat.words()
    await chat.choose("reasoning")
    await button(chat, "Regenerate").click()
    await chat.ends("complete")
    await chat.page.evaluate("window.isSame = true")
    await chat.answer().get_by_label("Previous version").click()
    await expect(chat.text()).to_have_text(first)
    await expect(chat.page).to_have_url(re.compile(r"[?]branch="))
    await expect(chat.answer().get_by_text("1/2")).to_be_visible()
    assert await chat.page.evaluate("window.isSame")
    await chat.page.go_back()
    await expect(chat.text()).to_have_text("It is forty-two.")
    await chat.page.go_forward()
    await expect(chat.text()).to_have_text(first)
    await chat.page.reload()
    await expect(chat.text()).to_have_text(first)
    await expect(chat.answer().get_by_text("1/2")).to_be_visible()


async def test_an_answer_ends_while_its_version_is_loaded(led: Led) -> None:
    """On a slow network its last words overtake the rest: they are shown, and Stop goes."""
    chat = led.chat
    say_all(await led.ask("hello"))
    await chat.ends("complete")
    other = Chat(await chat.page.context.new_page(), chat.url)
    await other.open(chat.page.url.removeprefix(chat.url))
    await button(chat, "Regenerate").click()
    generation = await led.next(1)
    generation.say("It begins, ")
    await chat.streams()
    await chat.answer().get_by_label("Previous version").click()
    await expect(chat.answer().get_by_text("1/2")).to_be_visible()
    held = await hold_answers(chat, BRANCHES)
    await chat.answer().get_by_label("Next version").click()
    await held.answered.wait()
    generation.say("and it ends.")
    generation.finish()
    await other.ends("complete")  # the two tabs share their events
    held.release()
    await chat.ends("complete")
    await expect(chat.text()).to_have_text("It begins, and it ends.")
    await expect(chat.stop).to_be_hidden()


async def test_the_version_chosen_last_is_shown(chat: Chat) -> None:
    """Also if that of an earlier choice comes later."""
    for model in ("short", "reasoning"):
        await chat.choose(model)
        await (button(chat, "Regenerate").click() if await chat.answers.count() else chat.ask("hello"))
        await chat.ends("complete")
    versions = chat.answer().locator("[data-part=branches]")
    first = await versions.get_by_label("Previous version").get_attribute("href")
    assert first is not None
    held = await hold_answers(chat, f"**/snapshot{first}*")
    await versions.get_by_label("Previous version").click()
    await held.answered.wait()
    async with chat.page.expect_response(re.compile(r"/snapshot[?]from=")):
        await chat.page.go_back()
    async with chat.page.expect_response(BRANCHES) as late:
        held.release()
    await (await late.value).finished()
    await chat.page.evaluate(TWO_FRAMES)
    await expect(versions).to_contain_text("2/2")
    await expect(chat.text()).to_have_text("It is forty-two.")


async def test_a_prompt_sent_while_a_version_is_loaded_stays(led: Led) -> None:
    """It follows what was shown, and so does its answer."""
    chat = led.chat
    say_all(await led.ask("hello"))
    await chat.ends("complete")
    await button(chat, "Regenerate").click()
    say_all(await led.next(1))
    await chat.ends("complete")
    held = await hold_answers(chat, BRANCHES)
    await chat.answer().get_by_label("Previous version").click()
    await held.answered.wait()
    generation = await led.ask("and then?")
    await expect(chat.page).to_have_url(re.compile(r"/sessions/[^?]+$"))
    async with chat.page.expect_response(BRANCHES):
        held.release()
    generation.say("Then this.")
    await expect(chat.prompts).to_have_text(["hello", "and then?"])
    await expect(chat.text()).to_have_text("Then this.")
    await expect(chat.answer(0).get_by_text("2/2")).to_be_visible()


async def test_an_edited_prompt_begins_a_branch(chat: Chat) -> None:
    """What followed the old one is gone from the view, and back when the old branch is."""
    await chat.choose("echo")
    for prompt in ("one", "two", "three"):
        await chat.ask(prompt)
        await chat.ends("complete")
    await edit(chat, "deux", 1)
    await chat.ends("complete")
    await expect(chat.prompts).to_have_text(["one", "deux"])
    await expect(chat.text()).to_have_text("deux")
    await chat.page.locator("article[data-role=user]").nth(1).get_by_label("Previous version").click()
    await expect(chat.prompts).to_have_text(["one", "two", "three"])
    await chat.page.locator("article[data-role=user]").nth(1).get_by_label("Next version").click()
    await expect(chat.prompts).to_have_text(["one", "deux"])


async def test_an_editor_has_what_was_sent(chat: Chat) -> None:
    """In the place of the prompt, and again after it was closed; it is ready to be written in."""
    await chat.ask("one", "echo")
    await chat.ends("complete")
    prompt = chat.page.locator("article[data-role=user]")
    box = prompt.get_by_label("Edit message")
    await prompt.get_by_text("Edit", exact=True).click()
    await expect(box).to_be_focused()
    await expect(box).to_have_value("one")
    await expect(chat.prompts).to_be_hidden()
    await chat.page.keyboard.type(" more")
    await prompt.get_by_text("Cancel", exact=True).click()
    await expect(chat.prompts).to_be_visible()
    await prompt.get_by_text("Edit", exact=True).click()
    await expect(box).to_have_value("one")


async def test_a_refused_edit_keeps_what_was_written(chat: Chat) -> None:
    """The conversation is as it was, and the editor open with the text in it, to be sent again."""
    await chat.ask("one", "echo")
    await chat.ends("complete")
    await chat.page.route(POSTS, lambda route: route.fulfill(status=429, body=PROBLEM))
    await edit(chat, "uno")
    await expect(chat.page.get_by_role("alert")).to_have_text("Wait a moment.")
    await expect(chat.text()).to_have_text("one")
    editor = chat.page.get_by_label("Edit message")
    await expect(editor).to_have_value("uno")
    await chat.page.unroute(POSTS)
    await chat.page.locator("[data-part=edit-form]").get_by_role("button", name="Send").click()
    await expect(chat.prompts).to_have_text(["uno"])
    await expect(chat.text()).to_have_text("uno")
    await expect(chat.page.get_by_role("alert")).to_have_count(0)


async def test_what_is_typed_in_an_editor_outlives_its_branch(chat: Chat, server: LiveServer) -> None:
    """Another tab may change that under the hand; the way back leads to the open editor. What was sent is not kept."""
    await chat.choose("echo")
    for prompt in ("one", "two"):
        await chat.ask(prompt)
        await chat.ends("complete")
    prompts = chat.page.locator("article[data-role=user]")
    await prompts.nth(1).get_by_text("Edit", exact=True).click()
    await chat.page.keyboard.type(" or three")
    other = Chat(await chat.page.context.new_page(), server.url)
    await other.open(chat.page.url.removeprefix(server.url))
    await button(other, "Regenerate", 0).click()
    editor = chat.page.get_by_label("Edit message")
    await expect(editor).to_have_count(0)
    await chat.answer().get_by_label("Previous version").click()
    await expect(editor).to_have_value("two or three")
    await expect(chat.answer(0).get_by_label("Next version")).to_be_focused()
    await editor.press("Enter")
    await expect(chat.prompts).to_have_text(["one", "two or three"])
    await prompts.nth(1).get_by_label("Previous version").click()
    await expect(chat.prompts).to_have_text(["one", "two"])
    await expect(editor).to_be_hidden()


async def test_an_editor_is_sent_by_the_keyboard(chat: Chat) -> None:
    """By the keys of the message box: Enter, while Shift makes a new line; then the composer has the focus."""
    await chat.ask("one", "echo")
    await chat.ends("complete")
    await chat.page.locator("article[data-role=user]").get_by_text("Edit", exact=True).click()
    box = chat.page.get_by_label("Edit message")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await box.press("Enter")
    await expect(chat.prompts).to_have_text(["one\ntwo"])
    await expect(chat.box).to_be_focused()


async def test_what_gives_way_leaves_the_focus_in_the_composer(chat: Chat) -> None:
    """Where Stop is, not at the top of the page."""
    await chat.ask("hello", "hang-middle")
    for name in ("Regenerate", "Continue"):
        await chat.streams()
        await chat.stop.click()
        await chat.ends("stopped")
        await button(chat, name).focus()
        await chat.page.keyboard.press("Enter")
        await expect(chat.answer()).to_have_attribute("data-outcome", "")
        await expect(chat.box).to_be_focused()


async def test_the_first_prompt_can_be_edited(chat: Chat) -> None:
    """It begins the conversation anew, in the same session."""
    await chat.ask("one", "echo")
    await chat.ends("complete")
    await edit(chat, "uno")
    await expect(chat.prompts).to_have_text(["uno"])
    await expect(chat.text()).to_have_text("uno")
    await chat.ends("complete")
    await chat.page.reload()
    await expect(chat.prompts).to_have_text(["uno"])


async def test_a_prompt_follows_the_branch_that_is_shown(chat: Chat) -> None:
    """Not the newest message: the reader went back for a reason."""
    await chat.choose("echo")
    await chat.ask("one")
    await chat.ends("complete")
    await edit(chat, "uno")
    await expect(chat.text()).to_have_text("uno")
    await chat.ends("complete")
    await chat.page.locator("article[data-role=user]").first.get_by_label("Previous version").click()
    await expect(chat.prompts).to_have_text(["one"])
    await chat.ask("two")
    await expect(chat.prompts).to_have_text(["one", "two"])
    await expect(chat.text()).to_have_text("two")
    await chat.ends("complete")
    await expect(chat.page).to_have_url(re.compile(r"/sessions/[^?]+$"))
    await chat.page.reload()
    await expect(chat.prompts).to_have_text(["one", "two"])


async def test_a_refused_edit_leaves_everything_as_it_was(chat: Chat) -> None:
    """What was cut while the server was asked is back, and the reason is said."""
    await chat.choose("echo")
    for prompt in ("one", "two"):
        await chat.ask(prompt)
        await chat.ends("complete")
    asked = asyncio.Event()

    async def refuse(route: Route) -> None:
        await asked.wait()
        await route.fulfill(status=429, content_type="application/problem+json", body=PROBLEM)

    await chat.page.route(POSTS, refuse)
    await edit(chat, "uno", 0)
    await expect(chat.prompts).to_have_text(["uno"])
    asked.set()
    await expect(chat.page.get_by_role("alert")).to_have_text("Wait a moment.")
    await expect(chat.prompts).to_have_text(["one", "two"])


async def test_a_stopped_answer_goes_on_in_its_place(chat: Chat) -> None:
    """Continue appends to what is there; in the end it is one text, live and after a reload."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    begun = await chat.words()
    await button(chat, "Continue").click()
    await expect(chat.answer()).to_have_attribute("data-status", "streaming")
    await expect(chat.text()).not_to_have_text(begun)
    await chat.stop.click()
    await chat.ends("stopped")
    whole = await chat.words()
    assert whole.startswith(begun.rstrip())
    assert (STORY * 200).startswith(whole)
    await expect(chat.answers).to_have_count(1)
    await chat.page.reload()
    assert (await chat.words()).strip() == whole.strip()


async def test_only_the_last_answer_that_broke_off_can_go_on(chat: Chat) -> None:
    """A complete one cannot, and one that was followed neither."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.ask("hello", "short")
    await chat.ends("complete", 1)
    await expect(button(chat, "Continue", 0)).to_be_hidden()
    await expect(button(chat, "Continue", 1)).to_be_hidden()
    await expect(button(chat, "Regenerate", 0)).to_be_visible()


async def test_a_length_cut_off_is_marked_and_goes_on(chat: Chat, server: LiveServer) -> None:
    """An answer that hit the limit says so, live and after a reload, and has Continue."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    session = chat.page.url.rpartition("/")[2]
    await server.client.post(session, "one two three four", model="scripted/echo", options={"max_tokens": 2})
    await chat.ends("complete", 1)
    await expect(chat.answer().get_by_text("Reached the token limit")).to_be_visible()
    await expect(button(chat, "Continue")).to_be_visible()
    await chat.page.reload()
    await expect(chat.answer().get_by_text("Reached the token limit")).to_be_visible()
    await button(chat, "Continue").click()
    await expect(chat.text()).to_have_text("one two three four")


async def test_other_tabs_follow(chat: Chat, context: BrowserContext, server: LiveServer) -> None:
    """A second tab shows the new branch, and the continued answer, without a reload."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    other = Chat(await context.new_page(), server.url)
    await other.open(chat.page.url.removeprefix(server.url))
    await chat.choose("hang-middle")
    await button(chat, "Regenerate").click()
    await expect(other.text()).to_have_text("It begins well, and then")
    await expect(other.answer().get_by_text("2/2")).to_be_visible()
    await expect(other.prompts).to_have_text(["hello"])
    await chat.stop.click()
    await other.ends("stopped")
    await button(chat, "Continue").click()
    await expect(other.answer()).to_have_attribute("data-outcome", "")
    await chat.page.keyboard.press("Escape")
    await other.ends("stopped")


async def test_a_refused_continuation_proposes_another_answer(chat: Chat) -> None:
    """Where a backend cannot go on, the sentence of the server says what can be done; the answer stays as it was."""
    problem = '{"title": "No", "status": 422, "code": "cannot_continue", "detail": "Regenerate it for another one."}'
    await chat.ask("begin", "hang-middle")
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    await chat.page.route(POSTS, lambda route: route.fulfill(status=422, body=problem))
    await button(chat, "Continue").click()
    await expect(chat.page.get_by_role("alert")).to_have_text("Regenerate it for another one.")
    await chat.ends("stopped")
    await expect(chat.text()).to_have_text("It begins well, and then")


async def test_a_stopped_answer_is_asked_for_again(chat: Chat) -> None:
    """Regenerate stands beside Continue; what was stopped stays reachable, labelled."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    stopped = await chat.words()
    await expect(button(chat, "Continue")).to_be_visible()
    await chat.choose("short")
    await button(chat, "Regenerate").click()
    await expect(chat.text()).to_have_text("Hello! What would you like to know?")
    await chat.ends("complete")
    await expect(chat.answer().locator("[data-part=label]")).to_be_hidden()
    await chat.answer().get_by_label("Previous version").click()
    await expect(chat.text()).to_have_text(stopped)
    await expect(chat.answer().locator("[data-part=label]")).to_have_text("Stopped")


@pytest.mark.parametrize("by", ["keyboard", "mouse"])
async def test_the_hand_stays_on_another_version(chat: Chat, by: str) -> None:
    """The focus is on the same button, and that is where it was: one can go on through the versions."""
    await chat.ask("\n\n".join(f"paragraph {number}" for number in range(40)), "echo")
    await chat.ends("complete")
    await chat.ask("one\n" * 3, "echo")
    await chat.ends("complete", 1)
    for text in (
        "two\n" * 10,
        "three",
    ):  # the shortest is shown first: there is always something to scroll by
        await edit(chat, text, 1)
        await chat.ends("complete", 1)
    nav = chat.page.locator("article[data-role=user] [data-part=branches]").nth(1)
    place = await nav.get_by_label("Previous version").bounding_box()
    assert place is not None
    for name, count, focused in (
        ("Previous version", "2/3", "Previous version"),
        ("Previous version", "1/3", "Next version"),
        ("Next version", "2/3", "Next version"),
    ):
        link = nav.get_by_label(name)
        if by == "keyboard":
            await link.focus()
            await chat.page.keyboard.press("Enter")
        else:
            await link.click()
        await expect(nav).to_contain_text(count)
        await expect(nav.get_by_label(focused)).to_be_focused()
        after = await nav.get_by_label("Previous version").bounding_box()
        assert after is not None
        assert abs(after["y"] - place["y"]) <= 1
