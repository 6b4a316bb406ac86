"""Where things stand on the page: in sight, in reach, not over one another, and not broken in two."""

from __future__ import annotations

from tests.browser.chat import Chat

WIDE = "\n".join(f"| {' | '.join([cell] * 12)} |" for cell in ("a number", "---", "value 0.10"))
# The height of each row of the last answer's table, in lines.
LINES = """() => Array.from(document.querySelectorAll("article:last-of-type tr"), (row) => {
    const style = getComputedStyle(row.cells[0]);
    const padding = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
    return Math.round((row.clientHeight - padding) / parseFloat(style.lineHeight));
})"""
SCROLLED = "document.querySelector('.block:has(> table)').scrollLeft > 0"


async def test_a_wide_table_breaks_no_figure_from_its_unit(chat: Chat) -> None:
    """It is scrolled instead, by the keyboard too."""
    await chat.ask(WIDE, "echo")
    await chat.ends("complete")
    assert await chat.page.evaluate(LINES) == [1, 1]
    await chat.text().locator("table").focus()
    await chat.page.keyboard.press("ArrowRight")
    await chat.page.wait_for_function(f"() => {SCROLLED}")
    assert await chat.page.evaluate("document.documentElement.scrollWidth") == 1280
