"""An open tail that is shown plainly first, by itself: what paints it is loaded in the middle of the test."""

from __future__ import annotations

from tests.browser.modules import Modules

LATE = """async ([url, source]) => {
    const { Content } = await import(`${url}/markdown/content.js`);
    const { loadPainter } = await import(`${url}/markdown/painter.js`);
    const box = Object.assign(document.createElement("div"), { innerHTML: '<div class="tail"></div>' });
    const content = new Content(box);
    const answer = { blocks: [], closed: 0, from: 0, text: source };
    const lengths = [];
    const paint = () => {
        const done = content.paint({ ...answer }, false); lengths.push(box.textContent.length);
        return done;
    };
    while (!paint());
    await loadPainter();
    while (!paint());
    return [lengths, box.querySelectorAll("p").length];
}"""


def test_much_plain_text_is_painted_at_once(modules: Modules) -> None:
    """It was there in one piece, so no piece of it may be missing for a frame."""
    source = "word " * 20_000 + "end"
    lengths, paragraphs = modules.page.evaluate(LATE, [modules.url, source])
    assert lengths == sorted(lengths)
    assert lengths[-1] == len(source)
    assert paragraphs == 1
