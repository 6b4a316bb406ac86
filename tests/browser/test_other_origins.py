"""A page of a listed origin in a real browser: it asks, listens and stops; and shows a chat in a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, expect

from tests.browser.sites import another_site, visited
from tests.support.server import serve

# Ask, read the answer with EventSource from the cursor of the POST, and say what came.
CONVERSE = """async (url) => {
  const posted = await fetch(`${url}/api/sessions/s1/streams`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": "one", Authorization: "Bearer none-is-needed" },
    body: JSON.stringify({ prompt: "hello" }),
  });
  const location = posted.headers.get("Location");
  const { events_url, cursor } = await posted.json();
  const source = new EventSource(`${url}${events_url}?cursor=${cursor}`, { withCredentials: true });
  const text = await new Promise((done, fail) => {
    let text = "";
    source.addEventListener("token", (event) => { text += JSON.parse(event.data).text; });
    source.addEventListener("end", () => { source.close(); done(text); });
    source.onerror = () => fail(new Error("the events cannot be read"));
  });
  const stopped = await (await fetch(`${url}${location}`, { method: "DELETE" })).json();
  return { location, text, outcome: stopped.outcome };
}"""


async def test_a_listed_page_converses(browser: Browser, tmp_path: Path) -> None:
    """With preflights, `Location`, an EventSource with credentials, and a DELETE."""
    async with another_site() as origin:
        settings: dict[str, Any] = {"allowed_origins": (origin,), "default_model": "scripted/short"}
        async with serve(tmp_path, **settings) as server, visited(browser, origin) as page:
            found = await page.evaluate(CONVERSE, server.url)
            messages = (await server.client.get("/api/sessions/s1"))["messages"]
    assert found["location"].startswith("/api/streams/")
    assert (found["text"], found["outcome"]) == (messages[-1]["content"], "complete")


async def test_a_listed_page_shows_a_chat_in_a_frame(browser: Browser, tmp_path: Path) -> None:
    """Its reader can use it there; a page that is not listed sees nothing of it."""
    add = "(url) => { document.body.append(Object.assign(document.createElement('iframe'), { src: url })); }"
    async with another_site() as origin, another_site() as unlisted:
        settings: dict[str, Any] = {"frame_ancestors": (origin,), "default_model": "scripted/short"}
        async with serve(tmp_path, **settings) as server:
            async with visited(browser, origin) as page:
                await page.evaluate(add, f"{server.url}/")
                frame = page.frame_locator("iframe")
                await frame.get_by_label("Message", exact=True).fill("hello")
                await frame.get_by_role("button", name="Send").click()
                await expect(frame.locator("article [data-part=content]").last).not_to_be_empty()
            async with visited(browser, unlisted) as page:
                blocked = page.expect_console_message(lambda line: "frame-ancestors" in line.text)
                async with blocked:
                    await page.evaluate(add, f"{server.url}/")
                await expect(page.frame_locator("iframe").get_by_label("Message")).to_have_count(0)
