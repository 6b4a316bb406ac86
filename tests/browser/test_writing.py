"""The keyboard in the box, and where the page scrolls while one reads."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.support.server import LiveServer

DISTANCE = """(() => {
    const box = document.querySelector(".scroll");
    return box.scrollHeight - box.clientHeight - box.scrollTop;
})()"""
BOX = "document.querySelector('.scroll')"
LONG = "\n\n".join(f"line {number}" for number in range(60))


async def test_shift_enter_is_a_new_line(chat: Chat) -> None:
    """Shift+Enter writes a line end, Enter sends the lines."""
    await chat.choose("echo")
    await chat.box.press_sequentially("one")
    await chat.box.press("Shift+Enter")
    await chat.box.press_sequentially("two")
    await expect(chat.answers).to_have_count(0)
    await chat.box.press("Enter")
    await chat.ends("complete")
    assert await chat.words() == "one\ntwo"


async def test_enter_does_not_send_while_composing(chat: Chat) -> None:
    """The Enter that takes a candidate of an input method sends nothing, told by `isComposing` or by key code 229."""
    await chat.box.fill("にほ")
    for init in ("{ isComposing: true }", "{ keyCode: 229 }"):
        await chat.box.evaluate(
            "box => box.dispatchEvent(new KeyboardEvent('keydown',"
            f" {{ key: 'Enter', bubbles: true, cancelable: true, ...{init} }}))"
        )
    await expect(chat.prompts).to_have_count(0)
    await expect(chat.box).to_have_value("にほ")


async def test_enter_on_a_touch_screen_is_a_new_line(browser: Browser, server: LiveServer) -> None:
    """Where the keyboard is on the screen, Enter writes a line end and the button sends."""
    phone = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    chat = Chat(await phone.new_page(), server.url)
    await chat.open("/")
    await chat.choose("echo")
    await chat.box.press_sequentially("one")
    await chat.box.press("Enter")
    await expect(chat.box).to_have_value("one\n")
    await chat.send.tap()
    await chat.ends("complete")
    assert await chat.words() == "one"
    await phone.close()


async def test_empty_prompts_are_not_sent(chat: Chat) -> None:
    """Spaces alone are no prompt."""
    await chat.ask("   ", "short")
    await expect(chat.prompts).to_have_count(0)
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await expect(chat.prompts).to_have_count(1)


async def test_the_page_follows_an_answer_until_the_reader_scrolls_up(chat: Chat) -> None:
    """At the bottom the page stays at the bottom; once the reader is elsewhere it moves nothing, also at the end."""
    await chat.ask(LONG, "echo")
    await chat.streams()
    await expect(chat.text()).to_contain_text("line 59")
    assert await chat.page.evaluate(DISTANCE) <= 1
    await chat.ask(LONG, "echo")
    await expect(chat.text(1)).not_to_be_empty()
    await chat.page.mouse.move(700, 300)
    await chat.page.mouse.wheel(0, -300)
    jump = chat.page.get_by_role("button", name="Jump to latest")
    await expect(jump).to_be_visible()
    await chat.page.wait_for_function(settled())
    place = await chat.page.evaluate("document.querySelector('.scroll').scrollTop")
    await chat.ends("complete", 1)
    assert await chat.page.evaluate("document.querySelector('.scroll').scrollTop") == place
    await jump.click()
    await expect(jump).to_be_hidden()
    await expect(chat.page.get_by_role("log")).to_be_focused()  # the button is gone
    assert await chat.page.evaluate(DISTANCE) <= 1


async def test_a_slow_movement_up_is_one_too(chat: Chat) -> None:
    """The text that grows takes back what a finger moves in a frame; the page adds it up."""
    await chat.ask("tell a long story", "long")
    await chat.page.wait_for_function(f"() => {BOX}.scrollHeight > {BOX}.clientHeight + 200")
    await chat.page.evaluate(
        """async () => {
            const box = document.querySelector(".scroll");
            const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
            for (let step = 0; step < 30; step += 1) {
                box.scrollTop -= 2;
                await frame();
            }
        }"""
    )
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    await chat.stop.click()
    await chat.ends("stopped")


@pytest.mark.parametrize(
    ("up", "down", "is_pinned"),
    [
        pytest.param(2, 0, True, id="2 px up"),
        pytest.param(4, 0, False, id="4 px up"),
        pytest.param(300, 230, False, id="down again to 70 px from the bottom"),
        pytest.param(300, 250, True, id="down again to 50 px from the bottom"),
    ],
)
async def test_where_the_page_lets_go_and_takes_hold(chat: Chat, up: int, down: int, is_pinned: bool) -> None:
    """More than 3 px up it leaves the reader alone; within 60 px of the bottom it follows again."""
    await chat.ask(LONG, "echo")
    await chat.ends("complete")
    for distance in (-up, down):
        await chat.page.evaluate(
            """(distance) => new Promise((resolve) => {
                document.querySelector(".scroll").scrollTop += distance;
                requestAnimationFrame(() => requestAnimationFrame(resolve));
            })""",
            distance,
        )
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible(visible=not is_pinned)


async def test_the_place_of_the_reader_is_kept(chat: Chat, server: LiveServer) -> None:
    """Over a reload and over a way back; who comes anew begins at the end, and so does who was there."""
    await chat.ask(LONG, "echo")
    await chat.ends("complete")
    path = chat.page.url.removeprefix(server.url)
    await chat.page.evaluate(f"{BOX}.scrollTop = 200")
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    await chat.page.reload()
    await chat.alive()
    assert await chat.page.evaluate(f"{BOX}.scrollTop") == 200
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.answers).to_have_count(0)
    await chat.page.go_back(wait_until="commit")
    await expect(chat.answers).to_have_count(1)
    await chat.alive()
    assert await chat.page.evaluate(f"{BOX}.scrollTop") == 200
    await chat.open("/")
    await chat.open(path)
    assert await chat.page.evaluate(DISTANCE) <= 1
    await chat.page.reload()
    await chat.alive()
    assert await chat.page.evaluate(DISTANCE) <= 1


async def test_control_enter_sends(browser: Browser, server: LiveServer) -> None:
    """On a touch screen with a keyboard, too."""
    for settings in ({}, {"has_touch": True, "is_mobile": True}):
        context = await browser.new_context(**settings)  # type: ignore[arg-type]
        chat = Chat(await context.new_page(), server.url)
        await chat.open("/")
        await chat.choose("echo")
        await chat.box.fill("hello")
        await chat.box.press("Control+Enter")
        await chat.ends("complete")
        await context.close()


async def test_what_is_typed_while_a_prompt_is_under_way_stays(chat: Chat) -> None:
    """The prompt goes, and what was added to it since does not."""
    await chat.choose("echo")
    held = await hold(chat, POSTS)
    await chat.ask("hello")
    await expect(chat.prompts).to_have_text(["hello"])
    await chat.box.press_sequentially(" and more")
    held.release()
    await expect(chat.box).to_have_value("and more")
    await expect(chat.prompts).to_have_text(["hello"])
    await chat.ends("complete")


@pytest.mark.parametrize(
    ("sent", "keys", "typed", "rest"),
    [
        pytest.param("a", ["Control+a"], "abc", "abc", id="anew, beginning alike"),
        pytest.param("a", ["Backspace"], "abc ", "abc ", id="after it was taken away"),
        pytest.param("one two", ["Home", "Delete"], "O", "One two", id="a correction"),
        pytest.param("one", ["Shift+Enter"], "more ", "more ", id="on the next line"),
    ],
)
async def test_nothing_typed_meanwhile_is_lost(
    chat: Chat, sent: str, keys: list[str], typed: str, rest: str
) -> None:
    """What goes is the prompt as it was sent, and not what looks like it."""
    await chat.choose("echo")
    held = await hold(chat, POSTS)
    await chat.ask(sent)
    await expect(chat.prompts).to_have_text([sent])
    for key in keys:
        await chat.box.press(key)
    await chat.box.press_sequentially(typed)
    held.release()
    await chat.ends("complete")
    await expect(chat.box).to_have_value(rest)


async def test_a_prompt_that_begins_like_the_one_before_goes_as_a_whole(chat: Chat) -> None:
    """Both are under way when the first is taken."""
    await chat.choose("echo")
    held = await hold(chat, POSTS)
    await chat.ask("one")
    await expect(chat.prompts).to_have_text(["one"])
    await chat.box.press_sequentially(" two")
    await chat.box.press("Enter")
    await expect(chat.prompts).to_have_text(["one", "one two"])
    held.release()
    await chat.ends("complete")
    await expect(chat.box).to_have_value("")


async def test_an_answer_that_ended_unseen_marks_the_title(chat: Chat) -> None:
    """While the tab is hidden an ended answer puts a dot before its title, and looking at it takes the dot away."""
    held = await hold(chat, POSTS)
    await chat.ask("hello hello hello hello", "echo")
    await chat.page.evaluate(hide(True))
    held.release()
    await expect(chat.page).to_have_title("● hello hello hello hello · Tailrace")
    await chat.page.evaluate(hide(False))
    await expect(chat.page).to_have_title("hello hello hello hello · Tailrace")


def hide(hidden: bool) -> str:
    """Return a script that makes the page believe that its tab is hidden, or seen."""
    return f"""(() => {{
        Object.defineProperty(document, "hidden", {{ configurable: true, get: () => {str(hidden).lower()} }});
        document.dispatchEvent(new Event("visibilitychange"));
    }})()"""


def settled() -> str:
    """Return a script that is true once the box has not moved between two looks: wheels scroll smoothly."""
    return """() => {
        const { scrollTop } = document.querySelector(".scroll");
        const same = window.lastScrollTop === scrollTop;
        window.lastScrollTop = scrollTop;
        return same;
    }"""
