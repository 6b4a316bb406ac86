"""The page without JavaScript: HTML that goes on until the answer ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.web.page import views
from app.web.page.noscript.growing_page import COOKIE
from app.web.page.sidebar import sidebar_list
from app.web.rules import RULES
from tests.markdown.corpus import ANSWERS
from tests.markdown.rendered import document
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage

PLAIN = {"Cookie": f"{COOKIE}=1"}


class GrowingPage:
    """A page that is still being sent."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.text = ""

    async def until(self, words: str) -> str:
        """Read on until `words` have come; return everything so far."""
        async with asyncio.timeout(10):
            while words not in self.text:
                piece = await self._response.content.readany()
                assert piece, f"the page ended without {words!r}"
                self.text += piece.decode()
        return self.text

    async def rest(self) -> str:
        """Read to the end; return everything."""
        self.text += (await self._response.content.read()).decode()
        return self.text


@asynccontextmanager
async def growing(stage: Stage, session_id: str = "s1") -> AsyncIterator[GrowingPage]:
    """Open the page of a session as a browser without scripts."""
    async with stage.http.get(f"/sessions/{session_id}", headers=PLAIN) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Security-Policy" in response.headers
        yield GrowingPage(response)


async def whole_page(stage: Stage) -> str:
    """Return the page of a session as a browser without scripts has it at its end."""
    async with growing(stage) as page:
        return await page.rest()


class Balance(HTMLParser):
    """Whether each element of a page is closed where it should be."""

    VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It is closed already."""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("rect", "circle") and (not self.open or self.open[-1] != tag):
            return
        assert self.open.pop() == tag


def blocks(html: str) -> list[str]:
    """Return the blocks of the last answer."""
    answer = (
        html.partition("<template data-role")[0].rpartition('data-part="content"')[2].partition("<footer")[0]
    )
    return re.findall(r'<div class="block" data-index="\d+">(.*?)</div>(?=<div|</div>)', answer, re.DOTALL)


def reasoning(html: str) -> list[str]:
    """Return the boxes of reasoning of the answers, as they are written."""
    answers = html.partition("<template data-role")[0]
    return re.findall(r'<details class="reasoning".*?</details>', answers, re.DOTALL)


def words(box: str) -> list[str]:
    """Return what is read in a box of reasoning."""
    return unescape(re.sub(r"<[^>]+>", " ", box.partition("</summary>")[2])).split()


def tails(html: str) -> list[str]:
    """Return the pieces of open text of the last answer."""
    answer = (
        html.partition("<template data-role")[0].rpartition('data-part="content"')[2].partition("<footer")[0]
    )
    return re.findall(r'<div class="tail">(.*?)</div>', answer, re.DOTALL)


async def test_a_form_asks_for_pages_that_grow(stage: Stage) -> None:
    """303 to the page as ever, with a cookie that the page's script can delete."""
    async with stage.http.post(
        "/api/sessions/s1/streams", data={"prompt": "hello"}, allow_redirects=False
    ) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
        assert response.headers["Set-Cookie"] == f"{COOKIE}=1; Path=/; SameSite=Lax"


async def test_the_answer_grows_in_the_page(stage: Stage) -> None:
    """First what stands before it, with a Stop; then text as it comes, and blocks as they close; then the rest."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with growing(stage) as page:
        text = await page.until("Thinking…")
        assert text.index('action="/sessions/s1/stop"') < text.index("Thinking…")
        assert 'http-equiv="refresh"' not in text
        assert 'id="prompt"' not in text
        generation.say("# On")
        await page.until('<div class="tail"># On')
        generation.say("e\n\ntwo <b>")
        await page.until("two &lt;b&gt;")
        generation.say(" three")
        await page.until(" three")
        generation.finish()
        text = await page.rest()
    assert blocks(text) == ["<h3>One</h3>", "<p>two &lt;b&gt; three</p>"]
    assert tails(text) == ["# On", "two &lt;b&gt; three", ""]  # without the blank line in front
    assert 'id="prompt"' in text
    assert text.rstrip().endswith("</html>")
    assert Balance(text).open == []


async def test_it_shows_what_a_reload_shows(stage: Stage) -> None:
    """The same blocks, in groups, for an answer of many."""
    answer = "\n\n".join(text for name, text in ANSWERS.items() if name not in ("long", "links"))
    expected = (await asyncio.to_thread(document, answer)).blocks
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with growing(stage) as page:
        await page.until("Thinking…")
        for at in range(0, len(answer), 97):
            generation.say(answer[at : at + 97])
        generation.finish()
        text = await page.rest()
    assert Balance(text).open == []
    indexes = [int(index) for index in re.findall(r'class="block" data-index="(\d+)"', text)]
    assert indexes == list(range(len(expected)))
    assert all(f">{html}</div>" in text for html in expected)
    assert text.count('<div class="group">') == 1 + len(expected) // RULES["group"]


async def test_it_is_the_whole_page_but_for_the_answer(stage: Stage) -> None:
    """Sent in parts, it is what a page that is sent at once is: before the last answer, and after its text."""
    await stage.answer("s1", "hello", "One")
    await stage.client.post("s1", "and now?")
    generation = await stage.opened(2)
    async with growing(stage) as page:
        await page.until("Thinking…")
        async with stage.http.get("/sessions/s1") as response:
            before = (await response.text()).rpartition('<div class="answer">')[0]
        generation.say("Two")
        generation.finish()
        text = await page.rest()
    async with stage.http.get("/sessions/s1") as response:
        after = await response.text()
    assert heading(text) == heading(before)
    assert footing(text) == footing(after)


def heading(html: str) -> list[str]:
    """Return the page before its last answer, without its scripts."""
    body = html.partition("<body")[2].partition("<template data-role")[0]
    answers = re.split(r'(?=<article class="message" data-role="assistant")', body)
    return [line.strip() for line in "".join(answers[:2]).splitlines() if line.strip()]


def footing(html: str) -> list[str]:
    """Return the page from the end of the text of its last answer on."""
    chat, _, rest = html.partition("<template data-role")
    after = chat.rpartition('<div class="problem"')[2] + rest
    return [re.sub(r' data-cursor="[^"]*"', "", line.strip()) for line in after.splitlines() if line.strip()]


async def test_the_reasoning_grows_in_the_page(stage: Stage) -> None:
    """Above the answer, as it comes; what is thought between the words is there after a reload."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with growing(stage) as page:
        await page.until("Thinking…")
        generation.say("Is it <b>?", kind="reasoning")
        text = await page.until("Is it &lt;b&gt;?")
        assert 'data-part="content"' not in text.rpartition("Thinking…")[2]
        generation.say("\nYes\0.", kind="reasoning")
        await page.until("\nYes")
        generation.say("It is")
        await page.until('<div class="tail">It is')
        generation.say(" Or not.", kind="reasoning")
        generation.say(" so.")
        generation.finish()
        text = await page.rest()
    assert Balance(text).open == []
    assert len(reasoning(text)) == 1
    assert '<div class="tail">Is it &lt;b&gt;?\nYes\ufffd.</div>' in reasoning(text)[0]
    assert blocks(text) == ["<p>It is so.</p>"]


@pytest.mark.parametrize("thoughts", [(), ("One & two.\n\n", '"Three" <i>')])
async def test_its_reasoning_is_that_of_a_reload(stage: Stage, thoughts: tuple[str, ...]) -> None:
    """The same words, where there are some and where there are none; a reload has their markup, too."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with growing(stage) as page:
        await page.until("Thinking…")
        for thought in thoughts:
            generation.say(thought, kind="reasoning")
        generation.say("It is so.")
        generation.finish()
        text = await page.rest()
    async with stage.http.get("/sessions/s1") as response:
        reloaded = await response.text()
    assert [words(box) for box in reasoning(text)] == [words(box) for box in reasoning(reloaded)]
    assert blocks(text) == blocks(reloaded)


async def test_reasoning_alone_is_shown(stage: Stage) -> None:
    """An answer that is stopped while its model thinks keeps what was thought."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("Hm", kind="reasoning")
    async with growing(stage) as page:
        await page.until('<div class="tail">Hm')
        await stage.client.delete("/api/sessions/s1/stream")
        text = await page.rest()
    assert Balance(text).open == []
    assert '<div class="tail">Hm</div>' in reasoning(text)[0]
    assert blocks(text) == []


async def test_without_the_cookie_the_page_is_whole(stage: Stage) -> None:
    """It looks again after a while, where no script does that."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("Hi")
    async with stage.http.get("/sessions/s1") as response:
        text = await response.text()
    assert '<noscript><meta http-equiv="refresh"' in text
    assert Balance(text).open == []


async def test_what_has_ended_does_not_grow(stage: Stage) -> None:
    """With the cookie or without."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.http.get("/sessions/s1", headers=PLAIN) as response:
        assert "Content-Length" in response.headers
        assert blocks(await response.text()) == ["<p>Hi</p>"]


async def test_the_end_of_the_page_is_that_of_its_end(stage: Stage) -> None:
    """What the answer came to, and a composer without a Stop."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("Half")
    async with growing(stage) as page:
        await page.until("Half")
        async with stage.http.post("/sessions/s1/stop", allow_redirects=False) as response:
            assert response.status == 303
        text = await page.rest()
    assert re.search(r'data-part="label">Stopped<', text)
    assert re.search(r'data-part="stop" formaction="/sessions/s1/stop" formnovalidate hidden', text)


async def test_an_answer_that_goes_on_begins_with_what_it_has(stage: Stage) -> None:
    """Reasoning, blocks and open text of before are there at once."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("Hm.", kind="reasoning")
    (await stage.opened()).say("# One\n\nHalf a")
    await until(lambda: stage.registry.session("s1").log.head >= 5)
    await stage.client.delete("/api/sessions/s1/stream")
    answer = (await stage.client.get("/api/sessions/s1"))["messages"][1]["message_id"]
    async with stage.http.post("/api/sessions/s1/streams", json={"continue": answer}) as response:
        assert response.status == 201
    generation = await stage.opened(2)
    async with growing(stage) as page:
        await page.until("Half a")
        generation.say(" sentence.")
        generation.finish()
        text = await page.rest()
    assert '<div class="tail">Hm.</div>' in reasoning(text)[0]
    assert blocks(text) == ["<h3>One</h3>", "<p>Half a sentence.</p>"]


async def test_an_answer_may_end_before_its_page_begins(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it came to while the page was prepared is there, the reasoning too."""
    preparing, go_on = asyncio.Event(), asyncio.Event()

    async def slow_list(*arguments: Any) -> Any:
        preparing.set()
        await go_on.wait()
        return await sidebar_list(*arguments)

    monkeypatch.setattr(views, "sidebar_list", slow_list)
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(whole_page(stage))
        await preparing.wait()
        generation.say("Hm.", kind="reasoning")
        generation.say("# One\n\nTwo")
        generation.finish()
        await stage.settled()
        go_on.set()
    text = reading.result()
    assert Balance(text).open == []
    assert '<div class="tail">Hm.</div>' in reasoning(text)[0]
    assert blocks(text) == ["<h3>One</h3>", "<p>Two</p>"]


async def test_a_growing_page_is_a_viewer(stage: Stage) -> None:
    """Its leaving costs nothing: no listener stays, no place in the pulse, and the answer goes on."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with growing(stage) as page:
        await page.until("Thinking…")
        assert stage.registry.statistics().viewers == 1
    await until(lambda: stage.registry.statistics().viewers == 0)
    assert stage.registry.session("s1").log.listeners == 0
    assert stage.pulse.listeners == 0
    assert not generation.aborted.is_set()


async def test_silence_is_broken_by_comments(tmp_path: Path) -> None:
    """So that no proxy takes the page for dead."""
    async with on_stage(tmp_path, heartbeat=0.15) as stage:
        await stage.client.post("s1", "hello")
        async with growing(stage) as page:
            await page.until("<!-- --><!-- -->")


async def test_a_session_that_is_deleted_ends_its_page(stage: Stage) -> None:
    """The page has an end, too."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("Half")
    async with growing(stage) as page:
        await page.until("Half")
        await stage.client.delete("/api/sessions/s1")
        text = await page.rest()
    assert text.rstrip().endswith("</html>")
    assert Balance(text).open == []


async def test_a_server_that_ends_finishes_its_pages(tmp_path: Path) -> None:
    """With the answer as far as it came."""
    async with on_stage(tmp_path) as stage:
        await stage.client.post("s1", "hello")
        (await stage.opened()).say("Half")
        async with growing(stage) as page:
            await page.until("Half")
            await stage.registry.close()
            text = await page.rest()
    assert blocks(text) == ["<p>Half</p>"]
    assert text.rstrip().endswith("</html>")


async def test_no_text_can_stand_for_the_mark(stage: Stage) -> None:
    """What a prompt or an answer says is text, whatever it looks like."""
    await stage.client.post("s1", "<!--mark--> </div> <!--")
    generation = await stage.opened()
    async with growing(stage) as page:
        generation.say("<!-- </div></div> \u202e\0 -->")
        generation.finish()
        text = await page.rest()
    assert Balance(text).open == []
    assert text.count("<!--") == 0
