"""Asking, watching the answer come, and what an answer looks like when it has ended."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.browser.puppets import Led
from tests.support.server import LiveServer

# Collect what the status region says, and how often an alert says something: what changes at once is said once.
LISTEN = """() => {
    window.said = [];
    window.alerts = 0;
    const anything = { attributes: true, childList: true, characterData: true, subtree: true };
    const status = document.querySelector("[data-part=status]");
    const words = ({ addedNodes }) => Array.from(addedNodes, (node) => node.data);
    new MutationObserver((records) => said.push(...records.flatMap(words))).observe(status, anything);
    const isAlert = ({ target }) => (target.closest ? target : target.parentElement).closest("[role=alert]");
    new MutationObserver((records) => { alerts += records.some(isAlert); })
        .observe(document.querySelector("[role=log]"), anything);
}"""
# Collect the seconds that an answer shows beside "Thinking…".
WATCH_SECONDS = """() => {
    window.seconds = [];
    const elapsed = document.querySelector("[data-role=assistant] [data-part=elapsed]");
    new MutationObserver(() => { if (elapsed.textContent) seconds.push(elapsed.textContent); })
        .observe(elapsed, { childList: true, characterData: true, subtree: true });
}"""


async def test_an_answer_comes_token_by_token_and_completes(led: Led) -> None:
    """The text grows while it is generated, and ends as what the model said."""
    generation = await led.ask("hello")
    said = ""
    for number in range(20):
        generation.say(f" word{number}")
        said += f" word{number}"
        await expect(led.chat.text()).to_have_text(said)
    generation.finish()
    await led.chat.ends("complete")
    assert await led.chat.words() == said.strip()


async def test_thinking_is_shown_until_the_first_token(chat: Chat) -> None:
    """The word "Thinking…" appears at once and counts seconds after the third; it never stands beside text."""
    await chat.ask("take your time", "slow-start")
    thinking = chat.answer().get_by_text("Thinking…")
    await expect(thinking).to_be_visible()
    await expect(chat.status).to_have_text("Generating")
    await expect(chat.answer().locator("[data-part=elapsed]")).to_have_text(re.compile(r"^[3-5] s$"))
    await expect(chat.text()).not_to_be_empty()
    await expect(thinking).to_be_hidden()
    await chat.ends("complete")
    await expect(chat.status).to_have_text("Answer complete")


async def test_seconds_are_shown_from_the_third_on(chat: Chat) -> None:
    """Whoever waits for a moment only is not shown a clock."""
    await chat.page.clock.install()
    held = await hold(chat, POSTS)
    await chat.ask("take your time", "short")
    await expect(chat.answer().get_by_text("Thinking…")).to_be_visible()
    await chat.page.evaluate(WATCH_SECONDS)
    await chat.page.clock.run_for(5_500)
    shown = await chat.page.evaluate("seconds")
    assert shown == [f"{number} s" for number in range(3, 3 + len(shown))] != []
    held.release()
    await chat.ends("complete")


async def test_a_chat_that_begins_on_an_error_page_has_its_address(chat: Chat) -> None:
    """A form that was sent before the scripts came leads to the API's address: a reload shows the chat."""
    held = await hold(chat, "**/main.js")
    await chat.page.goto(chat.url, wait_until="commit")
    await chat.box.fill("  ")
    await chat.send.click()
    await expect(chat.page).to_have_url(re.compile("/api/"))
    held.release()
    await chat.alive()
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await expect(chat.page).to_have_url(re.compile(r"/sessions/[^/]+$"))
    await chat.page.reload()
    await expect(chat.prompts).to_have_text("hello")


async def test_each_step_of_an_answer_is_said_once(chat: Chat) -> None:
    """The conversation itself is silent for a screen reader, however much comes: the status speaks for it."""
    await chat.page.evaluate(LISTEN)
    await expect(chat.page.get_by_role("log")).to_have_attribute("aria-live", "off")
    await expect(chat.status).to_have_attribute("role", "status")
    for prompt in ("one", "two"):
        await chat.ask(" ".join([prompt] * 20), "echo")
        await chat.ends("complete")
    await expect(chat.status).to_have_text("Answer complete")
    assert await chat.page.evaluate("said") == ["Generating", "Answer complete"] * 2
    assert await chat.page.evaluate("alerts") == 0


async def test_a_failure_is_said_once(chat: Chat) -> None:
    """As an alert with folded details; not again when another prompt follows, and not after a reload."""
    await chat.page.evaluate(LISTEN)
    await chat.ask("will this work", "error-middle")
    await chat.ends("failed")
    await expect(chat.answer().get_by_role("alert")).to_contain_text("The scripted model failed")
    await expect(chat.answer().locator("[data-part=problem-code]")).to_be_hidden()
    await chat.ask("then this", "short")
    await chat.ends("complete")
    assert await chat.page.evaluate("alerts") == 1
    await chat.page.reload()
    await chat.alive()
    await expect(chat.answer(0).get_by_text("The scripted model failed")).to_be_visible()
    await expect(chat.page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("thought", ["", "Rivers fall."], ids=["alone", "with-reasoning"])
@pytest.mark.parametrize(
    "beginning",
    ["The wheel", "# The wheel", "- The wheel", "> The wheel", "```\nThe wheel\n", "| The wheel |\n|---|\n"],
    ids=["paragraph", "heading", "list", "quote", "code", "table"],
)
async def test_first_token_moves_nothing(led: Led, beginning: str, thought: str) -> None:
    """Whatever an answer begins with stands where "Thinking…" stood, and what is above and below it stays."""
    chat = led.chat
    generation = await led.ask("where do you stand")
    around = [chat.prompts, chat.box, chat.page.locator(".reasoning")]
    if thought:
        generation.say(thought, kind="reasoning")
        await expect(around[-1]).to_be_visible()
    waiting = await chat.answer().locator(".answer").bounding_box()
    before = [await each.bounding_box() for each in around]
    generation.say(beginning)
    await expect(chat.text()).to_contain_text("The wheel")
    text = await chat.text().locator(".tail > *").bounding_box()
    assert [await each.bounding_box() for each in around] == before
    assert waiting is not None
    assert text is not None
    assert (text["x"], text["y"]) == (waiting["x"], waiting["y"])
    assert text["height"] >= waiting["height"]


async def test_the_prompt_is_shown_before_the_server_has_answered(chat: Chat) -> None:
    """A prompt and its "Thinking…" appear while the POST is still under way; the draft is kept until the 2xx."""
    held = await hold(chat, POSTS)
    await chat.ask("are you there", "echo")
    await expect(chat.prompts).to_have_text("are you there")
    await expect(chat.answer()).to_contain_text("Thinking…")
    await expect(chat.box).to_have_value("are you there")
    held.release()
    await chat.ends("complete")
    await expect(chat.box).to_have_value("")
    await expect(chat.prompts).to_have_count(1)


async def test_reasoning_is_folded_away_beside_the_answer(chat: Chat) -> None:
    """The model's thinking goes to a closed details box, the answer to the answer."""
    await chat.ask("what is the answer", "reasoning")
    await chat.ends("complete")
    box = chat.answer().locator("details.reasoning")
    await expect(box).not_to_have_attribute("open", re.compile(".*"))
    assert await box.locator("[data-part=reasoning]").text_content() == (
        "The user asks. I think about it, then I answer."
    )
    assert await chat.words() == "It is forty-two."


async def test_an_answer_shows_its_figures(chat: Chat) -> None:
    """Tokens, their speed, seconds and model stand under an answer, the same before and after a reload."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    figures = chat.answer().locator("[data-part=figures]")
    await expect(figures).to_have_text(re.compile(r"^7 tokens · [\d,]+ tokens?/s · \d+\.\d s$"))
    before = await figures.text_content()
    await chat.page.reload()
    await expect(figures).to_have_text(before or "")
    await expect(chat.answer().locator("[data-part=model]")).to_have_text("scripted/short")


async def test_markup_in_an_answer_stays_text(chat: Chat) -> None:
    """What a model writes is never taken as HTML, neither live nor after a reload."""
    prompt = '<img src=x onerror=alert(1)> <b>bold</b> & "quotes" {{ 7 * 7 }}'
    await chat.ask(prompt, "echo")
    await chat.ends("complete")
    assert await chat.words() == prompt
    await chat.page.reload()
    assert await chat.words() == prompt
    await expect(chat.page.locator("main img, main b")).to_have_count(0)


async def test_a_long_answer_is_whole(chat: Chat) -> None:
    """An answer of many paragraphs has exactly its text and its height, live and after a reload."""
    paragraphs = [f"{number} " + "x" * 200 for number in range(40)]
    await chat.ask("\n\n".join(paragraphs), "echo")
    await chat.ends("complete")
    await expect(chat.text().locator("p")).to_have_text(paragraphs)
    live = await chat.text().bounding_box()
    await chat.page.reload()
    await expect(chat.text().locator("p")).to_have_text(paragraphs)
    loaded = await chat.text().bounding_box()
    assert live is not None
    assert loaded is not None
    assert live["height"] == loaded["height"]


async def test_while_an_answer_grows_nothing_else_changes(chat: Chat) -> None:
    """A token touches the open text alone: what stands around it is not written again and again."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.page.evaluate(
        """() => {
            window.changes = [];
            const everything = { attributes: true, childList: true, subtree: true };
            new MutationObserver((records) => changes.push(...records.map((each) => each.target.className)))
                .observe(document.querySelector("tailrace-transcript"), everything);
        }"""
    )
    length = len(await chat.words())
    await chat.page.wait_for_function(
        "(length) => document.querySelector('[data-role=assistant] [data-part=content]').textContent.length > length",
        arg=length + 100,
    )
    assert await chat.page.evaluate("changes") == []


async def test_the_page_gets_the_address_and_name_of_its_session(chat: Chat) -> None:
    """The first prompt turns `/` into the session's own address, without a new entry in the history."""
    entries = await chat.page.evaluate("history.length")
    await chat.ask("name this   session", "short")
    await chat.ends("complete")
    assert re.search(r"/sessions/[A-Za-z0-9_-]+$", chat.page.url)
    assert await chat.page.evaluate("history.length") == entries
    await expect(chat.page).to_have_title("name this session · Tailrace")
    await expect(chat.page.locator("#sessions a[aria-current=page]")).to_have_text("name this session")


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("🌊" * 80, "🌊" * 80),
        ("🌊" * 81, "🌊" * 79 + "…"),
        (" why\n\n" + "do rivers flow " * 9, "why " + "do rivers flow " * 4 + "do rivers flow…"),
    ],
    ids=["whole", "characters", "words"],
)
async def test_a_long_prompt_gives_a_title_with_an_ellipsis(chat: Chat, prompt: str, title: str) -> None:
    """The same from the page as from the server; no character is cut in two."""
    await chat.ask(prompt, "short")
    await chat.ends("complete")
    for _ in range(2):
        await expect(chat.page).to_have_title(f"{title} · Tailrace")
        await expect(chat.page.locator("#sessions a[aria-current=page]")).to_have_text(title)
        await chat.page.reload()


async def test_a_second_tab_shows_the_same(chat: Chat, context: BrowserContext, server: LiveServer) -> None:
    """Another tab draws the prompt and the answer from the events, to the same text, and its Stop works."""
    await chat.ask("first", "short")
    await chat.ends("complete")
    other = Chat(await context.new_page(), server.url)
    await other.open(chat.page.url.removeprefix(server.url))
    await chat.ask("tell a long story", "long")
    await other.streams()
    await expect(other.prompts).to_have_text(["first", "tell a long story"])
    await other.stop.click()
    await chat.ends("stopped")
    await other.ends("stopped")
    assert await chat.words() == await other.words() != ""


async def test_a_phone_has_the_width_and_the_list_in_a_popover(
    context: BrowserContext, server: LiveServer
) -> None:
    """At 390 px nothing is cut off, and the list of sessions opens without moving anything."""
    page = await context.new_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    chat = Chat(page, server.url)
    await chat.open("/")
    await chat.ask("unbreakable" * 40, "echo")
    await chat.ends("complete")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    sessions = page.get_by_role("navigation", name="Chats")
    await expect(sessions).to_be_hidden()
    await page.get_by_label("Open chat list").click()
    await expect(sessions).to_be_visible()
