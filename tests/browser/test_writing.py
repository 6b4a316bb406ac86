"""The keyboard in the box, and where the page scrolls while one reads."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.support.server import LiveServer

DISTANCE = """(() => {
    const box = document.querySelector(".scroll");
    return box.scrollHeight - box.clientHeight - box.scrollTop;
})()"""
LONG = "\n".join(f"line {number}" for number in range(60))


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
    assert await chat.page.evaluate(DISTANCE) <= 1


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
