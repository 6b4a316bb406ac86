"""The text of an answer on the page: blocks take the place of the tail, and what somebody selects stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.modules import Modules

# A text as the server renders it, here in one group of two blocks, and the `Content` that takes it over.
SET_UP = """async ([url]) => {
    const { Content } = await import(`${url}/markdown/content.js`);
    await (await import(`${url}/markdown/painter.js`)).loadPainter();
    const main = document.querySelector("main");
    getSelection().removeAllRanges();
    main.innerHTML = '<div class="text markdown" data-end="10"><div class="group"><div class="block" data-index="0">'
        + '<p>one</p></div><div class="block" data-index="1"><pre><code>two</code></pre></div></div>'
        + '<div class="tail">op*e*n</div></div>';
    window.box = main.firstChild;
    window.content = new Content(box);
    window.answer = content.read();
    window.paint = (changes) => {
        Object.assign(answer, changes);
        return content.paint({ ...answer }, false);
    };
}"""
FOLD = "<details><summary>more</summary><p>of it</p></details>"
ONE, TWO, THREE = "<p>one</p>", "<pre><code>two</code></pre>", "<p>three</p>"


@pytest.fixture
def page(modules: Modules) -> Modules:
    """A text with two blocks, and a tail that is open from 10 on."""
    modules.page.evaluate(SET_UP, [modules.url])
    return modules


def paint(page: Modules, **changes: Any) -> bool:
    """Change some fields of the answer and show it, in two frames at most; return whether all of it is shown."""
    return frame(page, **changes) or frame(page)


def frame(page: Modules, **changes: Any) -> bool:
    """Do what the page does in one frame."""
    done: bool = page.page.evaluate("(changes) => paint(changes)", changes)
    return done


def tail(page: Modules) -> str:
    return page.page.inner_html(".tail")


def texts(page: Modules) -> list[str]:
    return page.page.locator(".block").all_text_contents()


def mark(page: Modules) -> None:
    """Mark the blocks, so that it shows when one is another."""
    page.page.evaluate("document.querySelectorAll('.block').forEach((block) => { block.isOld = true; })")


def kept(page: Modules) -> list[bool]:
    """Tell of each block whether it was there when they were marked."""
    found: list[bool] = page.page.evaluate(
        "Array.from(document.querySelectorAll('.block'), (block) => block.isOld === true)"
    )
    return found


def select(page: Modules, selector: str) -> None:
    page.page.evaluate(
        "(selector) => getSelection().selectAllChildren(document.querySelector(selector))", selector
    )


def unselect(page: Modules) -> None:
    page.page.evaluate("getSelection().removeAllRanges()")


def test_the_text_of_the_server_is_taken_over(page: Modules) -> None:
    """Its blocks stay as they are, and its open source is painted."""
    answer = page.page.evaluate("answer")
    assert answer == {"blocks": [None, None], "closed": 10, "from": 10, "text": "op*e*n"}
    mark(page)
    assert paint(page)
    assert kept(page) == [True, True]
    assert tail(page) == "<p>op<em>e</em>n</p>"


def test_the_tail_is_only_appended_to(page: Modules) -> None:
    """What is painted of it stays the same element."""
    paint(page)
    page.page.evaluate("window.painted = box.querySelector('.tail > p')")
    assert paint(page, text="op*e*n and more")
    assert page.page.evaluate("painted === box.querySelector('.tail > p')")
    assert tail(page) == "<p>op<em>e</em>n and more</p>"


def test_a_closed_block_takes_the_place_of_the_tail(page: Modules) -> None:
    """The tail goes on behind it, with what the block does not cover."""
    paint(page)
    assert paint(page, text="three\n\nnext", blocks=[ONE, TWO, THREE], closed=17)
    assert texts(page) == ["one", "two", "three"]
    assert tail(page) == "<p>next</p>"


def test_a_frame_that_lays_out_a_block_does_nothing_else(page: Modules) -> None:
    """What follows the block comes with the next one: both would be too much for a slow machine."""
    frame(page, text="thr")
    assert not frame(page, text="three\n\nnext", blocks=[ONE, TWO, THREE], closed=17)
    assert (texts(page)[-1], tail(page)) == ("three", "")
    assert frame(page)
    assert tail(page) == "<p>next</p>"


def test_what_has_been_seen_behind_a_block_stays(page: Modules) -> None:
    """A block may come late, when the tail shows what follows it: that is not gone for a frame."""
    assert frame(page, text="three\n\nne")
    assert frame(page, text="three\n\nnext", blocks=[ONE, TWO, THREE], closed=17)
    assert (texts(page)[-1], tail(page)) == ("three", "<p>next</p>")


def test_a_block_that_comes_before_its_last_token_leaves_nothing_twice(page: Modules) -> None:
    """What is missing of it in the tail is left out as it arrives."""
    paint(page, text="thr")
    paint(page, blocks=[ONE, TWO, THREE], closed=17)
    assert tail(page) == ""
    paint(page, text="three\n\nnext")
    assert tail(page) == "<p>next</p>"


def test_what_the_reader_unfolded_stays_so(page: Modules) -> None:
    """In the block that takes the place of the tail, with the focus; and in one that comes again, or another time."""
    unfold = "document.querySelector('summary').click(); document.querySelector('summary').focus()"
    focused = "document.activeElement.textContent"
    is_open = "document.querySelector('.block details').open"
    source = "<details>\n<summary>more</summary>\n\nof it\n\n</details>"
    paint(page, text=source)
    page.page.evaluate(unfold)
    paint(page, text=f"{source}\n\nnext", blocks=[ONE, TWO, FOLD], closed=12 + len(source))
    assert (page.page.evaluate(is_open), page.page.evaluate(focused)) == (True, "more")
    mark(page)
    paint(page, blocks=[ONE, TWO, FOLD + " "])
    assert (page.page.evaluate(is_open), kept(page)) == (True, [True, True, False])


def test_an_unfolded_block_that_came_with_the_page_stays(page: Modules) -> None:
    """It is equal to the one that comes, though the reader has opened it."""
    page.page.evaluate("(fold) => { document.querySelector('.block').innerHTML = fold; }", FOLD)
    page.page.evaluate("document.querySelector('summary').click()")
    mark(page)
    assert paint(page, blocks=[FOLD, TWO])
    assert kept(page) == [True, True]
    assert page.page.evaluate("document.querySelector('details').open")


def test_the_same_html_replaces_nothing(page: Modules) -> None:
    """Blocks come again after a reconnection: what is shown stays the same element, unless it has changed."""
    paint(page)
    mark(page)
    assert paint(page, blocks=[ONE, TWO])
    assert kept(page) == [True, True]
    assert paint(page, blocks=["<p>uno</p>", TWO])
    assert kept(page) == [False, True]
    assert texts(page) == ["uno", "two"]


def test_blocks_stand_in_groups_of_eight(page: Modules) -> None:
    """The browser lays out and paints a group apart from the others."""
    paint(page, blocks=[f"<p>{number}</p>" for number in range(18)], closed=100, text="")
    sizes = page.page.evaluate(
        "Array.from(box.querySelectorAll('.group'), (group) => group.childElementCount)"
    )
    assert sizes == [8, 8, 2]
    assert page.page.get_attribute(".block >> nth=-1", "data-index") == "17"


def test_open_again(page: Modules) -> None:
    """When an answer is continued its last block is text again."""
    paint(page, blocks=[ONE, TWO, THREE], closed=17, text="")
    opened: dict[str, Any] = {"blocks": [ONE], "closed": 5, "from": 5, "text": "two, and"}
    assert paint(page, **opened)
    assert texts(page) == ["one"]
    assert tail(page) == "<p>two, and</p>"


def test_a_selected_tail_is_replaced_when_the_selection_is_gone(page: Modules) -> None:
    """Meanwhile it grows by what comes, the block's text and the text behind it."""
    paint(page, text="thr")
    select(page, ".tail > p")
    assert not paint(page, text="three\n\nnext", blocks=[ONE, TWO, THREE], closed=17)
    assert texts(page) == ["one", "two"]
    assert tail(page) == "<p>three</p><p>next</p>"
    assert page.page.evaluate("String(getSelection())").startswith("thr")
    unselect(page)
    assert paint(page)
    assert texts(page) == ["one", "two", "three"]
    assert tail(page) == "<p>next</p>"


def test_a_selected_block_is_replaced_when_the_selection_is_gone(page: Modules) -> None:
    """A late reference link has changed it; what others show does not wait for it."""
    select(page, ".block p")
    assert not paint(page, blocks=["<p>uno</p>", TWO, THREE], closed=17, text="three")
    assert texts(page) == ["one", "two", "three"]
    unselect(page)
    assert paint(page)
    assert texts(page) == ["uno", "two", "three"]


def test_a_selection_elsewhere_keeps_nothing_waiting(page: Modules) -> None:
    """Only what is selected waits."""
    paint(page)
    select(page, ".block p")
    assert paint(page, text="three", blocks=[None, None, THREE], closed=17)
    assert texts(page) == ["one", "two", "three"]


def test_a_frame_paints_a_bounded_amount(page: Modules) -> None:
    """Half a megabyte at once is painted in many frames, and whole in the end."""
    source = "word " * 100_000
    frames = 1
    done = frame(page, text=source)
    while not done:
        frames += 1
        done = frame(page)
    assert frames > 30
    assert len(page.page.text_content(".tail") or "") == len(source.rstrip())


def test_listings_of_blocks_have_a_copy_button(page: Modules) -> None:
    """Those that came with the page and those that came later, one each."""
    paint(page, blocks=[ONE, TWO, "<ul><li><pre><code>x</code></pre></li></ul>"], closed=17, text="")
    assert page.page.locator(".block pre > button.copy-code").count() == 2
    assert page.page.locator("button").count() == 2


@pytest.mark.parametrize(
    "html",
    [
        "<img src=x onerror=alert(1)>",
        "<p onclick=alert(1)>x</p>",
        "<script>alert(1)</script>",
        "<svg></svg>",
        "<p id=a>x</p>",
    ],
)
def test_the_browser_checks_once_more(page: Modules, html: str) -> None:
    """Should the server ever let through what it must not: the browser's own sanitizer takes it away."""
    paint(page, blocks=[ONE, TWO, html], closed=17, text="")
    assert page.page.inner_html(".block >> nth=-1") in ("", "<p>x</p>")


def test_formulas_and_classes_pass(page: Modules) -> None:
    """What the server makes of maths and of code is not taken for dangerous."""
    html = (
        '<p><math display="block"><mfrac linethickness="0"><mi mathvariant="bold">a</mi><mn>2</mn></mfrac></math>'
        '<code class="language-x"><span class="keyword">if</span></code><bdi class="control">x</bdi>'
        '<a href="https://a.example" target="_blank" rel="nofollow">a</a></p>'
    )
    paint(page, blocks=[ONE, TWO, html], closed=17, text="")
    assert page.page.inner_html(".block >> nth=-1") == html


def test_a_group_is_laid_out_apart(page: Modules) -> None:
    """What grows under it costs it nothing; and nothing of an answer has its height only once it is scrolled to."""
    paint(page, blocks=[f"<p>{number}</p>" for number in range(18)], closed=100, text="open")
    contain = "Array.from(box.querySelectorAll('.group'), (group) => getComputedStyle(group).contain)"
    assert page.page.evaluate(contain) == ["content"] * 3
    visibility = "Array.from(box.querySelectorAll('*'), (each) => getComputedStyle(each).contentVisibility)"
    assert set(page.page.evaluate(visibility)) == {"visible"}
