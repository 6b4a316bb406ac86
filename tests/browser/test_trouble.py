"""Bad days: failing models, refused prompts, answers that get lost, reloads at the wrong moment."""

from __future__ import annotations

from playwright.async_api import BrowserContext, Request, Route, expect

from app.backends.scripted.scripts import SCRIPTS
from tests.browser.chat import Chat
from tests.browser.held import POSTS
from tests.browser.wire import wire_to
from tests.support.server import LiveServer

STORY = SCRIPTS["long"].text or ""
PROBLEM = '{"title": "Too many", "status": 429, "code": "too_many_streams", "detail": "Wait a moment."}'


async def test_a_model_error_is_a_sentence_with_a_retry(chat: Chat) -> None:
    """A failed answer keeps its text, says one sentence as an alert, and Retry asks the same again."""
    await chat.ask("will this work", "error-middle")
    await chat.ends("failed")
    assert await chat.words() == "It begins well, and then"
    await expect(chat.answer().get_by_role("alert")).to_contain_text("The scripted model failed")
    await chat.answer().get_by_role("button", name="Retry").click()
    await expect(chat.answer().get_by_text("2/2")).to_be_visible()
    await chat.ends("failed")
    await expect(chat.prompts).to_have_text(["will this work"])
    await expect(chat.page.get_by_role("button", name="Retry")).to_have_count(1)


async def test_a_refused_prompt_stays_in_the_box(chat: Chat) -> None:
    """When the POST is refused the draft is kept with the reason beside it, and the transcript is as before."""

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, content_type="application/problem+json", body=PROBLEM)

    await chat.page.route(POSTS, refuse)
    await chat.ask("let me in", "short")
    await expect(chat.page.get_by_role("alert")).to_have_text("Wait a moment.")
    await expect(chat.box).to_have_value("let me in")
    await expect(chat.answers).to_have_count(0)
    await expect(chat.stop).to_be_hidden()
    await chat.page.unroute(POSTS, refuse)
    await chat.box.press("Enter")
    await chat.ends("complete")
    await expect(chat.page.get_by_role("alert")).to_have_count(0)


async def lose_answers(chat: Chat) -> list[str]:
    """Let the first POST arrive, and lose its answer; return the keys of all POSTs."""
    keys: list[str] = []

    async def lose_the_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await chat.page.route(POSTS, lose_the_answer)
    return keys


async def test_a_repeated_prompt_after_a_lost_answer_is_registered_once(
    context: BrowserContext, server: LiveServer
) -> None:
    """If the POST arrived but its answer was lost, sending again repeats the key: one exchange, not two."""
    # Else the page hears that it arrived. Requests of a shared worker cannot be caught.
    await context.add_init_script("delete window.SharedWorker")
    await context.route("**/events?*", lambda route: route.abort())
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/")
    keys = await lose_answers(chat)
    await chat.ask("only once", "short")
    await expect(chat.page.get_by_role("alert")).to_contain_text("Can't reach the server")
    await context.unroute("**/events?*")
    await chat.box.press("Enter")
    await chat.ends("complete")
    await chat.page.reload()
    await expect(chat.prompts).to_have_text(["only once"])
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_page_hears_that_a_prompt_arrived_although_its_answer_was_lost(chat: Chat) -> None:
    """The log tells of it: nothing has to be sent again, and the box is free for the next prompt."""
    keys = await lose_answers(chat)
    await chat.ask("only once", "short")
    await chat.ends("complete")
    await expect(chat.box).to_have_value("")
    await expect(chat.page.get_by_role("alert")).to_have_count(0)
    await chat.ask("and again", "short")
    await chat.ends("complete")
    await expect(chat.prompts).to_have_text(["only once", "and again"])
    assert len(set(keys)) == 2


async def test_a_page_hears_that_a_refused_prompt_arrived_after_all(chat: Chat) -> None:
    """Also once it has complained: the complaint goes, and the box is free unless something was typed there."""
    requests: list[Request] = []

    async def lose(route: Route) -> None:
        requests.append(route.request)
        await route.abort()

    await chat.page.route(POSTS, lose)
    for number, typed in enumerate(("", " and more")):
        await chat.ask(f"late {number}", "short")
        await expect(chat.page.get_by_role("alert")).to_contain_text("Can't reach the server")
        await chat.box.press_sequentially(typed)
        arrived = await chat.page.request.fetch(requests[-1])
        assert arrived.status == 201
        await chat.ends("complete")
        await expect(chat.page.get_by_role("alert")).to_have_count(0)
        await expect(chat.box).to_have_value(typed.lstrip())
    assert len(requests) == 2
    await expect(chat.prompts).to_have_text(["late 0", "late 1"])


async def test_a_complaint_about_the_network_goes_with_its_cause(
    context: BrowserContext, server: LiveServer
) -> None:
    """The page says that the server cannot be reached until it can be."""
    async with wire_to(server.url) as wire:
        chat = Chat(await context.new_page(), wire.url)
        await chat.open("/")
        await chat.ask("hello", "short")
        await chat.ends("complete")
        wire.cut()
        await chat.ask("are you there", "echo")
        await expect(chat.page.get_by_role("alert")).to_contain_text("Can't reach the server")
        wire.mend()
        await expect(chat.page.get_by_role("alert")).to_have_count(0)
        await expect(chat.box).to_have_value("are you there")


async def test_a_stop_that_did_not_arrive_is_told_until_the_network_is_back(
    context: BrowserContext, server: LiveServer
) -> None:
    """Then it can be pressed again."""
    async with wire_to(server.url) as wire:
        chat = Chat(await context.new_page(), wire.url)
        await chat.open("/")
        await chat.ask("hello", "hang-middle")
        await chat.streams()
        wire.cut()
        await chat.stop.click()
        await expect(chat.page.get_by_role("alert")).to_contain_text("Can't reach the server")
        wire.mend()
        await expect(chat.page.get_by_role("alert")).to_have_count(0)
        await chat.stop.click()
        await chat.ends("stopped")


async def test_the_draft_survives_a_reload(chat: Chat) -> None:
    """What was typed and not sent is there again, for the session that it was typed in."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await chat.box.fill("half a thought")
    await chat.page.reload()
    await expect(chat.box).to_have_value("half a thought")
    await chat.open("/")
    await expect(chat.box).to_have_value("")


async def test_a_reload_in_the_middle_loses_nothing(chat: Chat) -> None:
    """A page loaded in the middle of an answer ends with exactly the text that the server keeps."""
    await chat.ask("tell a long story", "long")
    for _ in range(3):
        await chat.streams()
        before = await chat.words()
        await chat.page.reload()
        await expect(chat.text()).to_contain_text(before)
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    answer = await chat.page.request.get(chat.page.url.replace("/sessions/", "/api/sessions/"))
    kept = (await answer.json())["messages"][-1]["content"]
    assert await chat.words() == kept.rstrip()  # Markdown has no space at the end of a paragraph
    assert (STORY * 200).startswith(kept)
