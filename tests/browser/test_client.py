"""`static/client.js`, by itself, in a real browser: on pages of the server, and on those of a listed origin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.complaints import Complaints
from tests.browser.sites import another_site, visited
from tests.browser.wire import wire_to
from tests.support.processes import ROOT
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.server import LiveServer, serve
from tests.support.waiting import until

# ms of the page's clock: in the first the client connects again, in each other one it gives up and tries once more.
ATTEMPTS = (1_000, *(22_000,) * 5)
WHILE = 5_000  # ms that an attempt gets on a busy machine

TOKEN = "a token of this test"
IMPORT = "const { Client, ApiError } = await import(`${url}/static/client.js`);"
CONVERSE = f"""async ([url, options]) => {{
  {IMPORT}
  const client = new Client(options);
  const {{ stream_id: id, cursor }} = await client.ask("s1", "hello", {{ key: "one" }});
  const again = await client.ask("s1", "hello", {{ key: "one" }});
  const events = [];
  for await (const event of client.resume(id, {{ cursor, render: "html" }})) events.push(event);
  const stopped = await client.stop(id);
  return {{ isSame: again.stream_id === id, events, outcome: stopped.outcome }};
}}"""
# Watch a session; what comes is kept in the page, so that a test can look at it meanwhile.
WATCH = f"""async ([url, id, options]) => {{
  {IMPORT}
  const seen = window.seen = {{ events: [], links: [], text: "", isOver: false, error: null }};
  const ending = window.ending = new AbortController();
  const onLink = (isUp) => seen.links.push(isUp);
  (async () => {{
    try {{
      for await (const event of new Client().watch(id, {{ ...options, onLink, signal: ending.signal }})) {{
        seen.events.push(event);
        if (event.type === "token") seen.text += event.text;
      }}
    }} catch (error) {{
      seen.error = [error instanceof ApiError, error.status, error.code];
    }}
    seen.isOver = true;
  }})();
}}"""


@asynccontextmanager
async def empty_page(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Open a page of the server that runs no script: only its origin matters."""
    complaints = Complaints()
    async with visited(browser, f"{url}/api/models", complaints) as page:
        yield page
    assert complaints == []


async def seen(page: Page, name: str) -> Any:
    """Return what the page has seen so far."""
    return await page.evaluate("(name) => window.seen[name]", name)


async def when_seen(page: Page, condition: str, timeout: float | None = None) -> None:
    """Wait for a condition on what was seen, by default for as long as the page's tests do; `timeout` is in ms."""
    await page.wait_for_function(
        f"() => {{ const {{ events, links, text, isOver }} = window.seen; return {condition}; }}",
        timeout=timeout,
    )


async def generation(backend: PuppetBackend, count: int = 1) -> PuppetGeneration:
    """Wait for a generation; return it when it has begun."""
    await until(lambda: len(backend.generations) >= count)
    await backend.generations[count - 1].opened.wait()
    return backend.generations[count - 1]


def check(found: dict[str, Any]) -> str:
    """Look at what `CONVERSE` returned; return the text of the answer."""
    assert (found["isSame"], found["outcome"]) == (True, "complete")
    types = [event["type"] for event in found["events"]]
    assert types[0] == "start"
    assert types.count("end") == 1
    assert "block" in types
    assert set(types) <= {"start", "status", "token", "block", "end"}
    assert all(event["cursor"] for event in found["events"])
    return "".join(event["text"] for event in found["events"] if event["type"] == "token")


@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "token"])
async def test_a_conversation_from_another_origin(
    browser: Browser, tmp_path: Path, token: str | None
) -> None:
    """It is imported from the server, which it then talks to; with a bearer token if it needs one."""
    async with another_site() as origin:
        settings: dict[str, Any] = {
            "allowed_origins": (origin,),
            "default_model": "scripted/short",
            "access_token": token,
        }
        headers = {"Authorization": f"Bearer {token}"} if token else None
        async with serve(tmp_path, headers=headers, **settings) as server, visited(browser, origin) as page:
            found = await page.evaluate(CONVERSE, [server.url, {"token": token} if token else {}])
            messages = (await server.client.get("/api/sessions/s1"))["messages"]
    assert check(found) == messages[-1]["content"] != ""


async def test_a_conversation_on_a_page_of_the_server(browser: Browser, tmp_path: Path) -> None:
    """Under a base path, which it takes from its own address."""
    async with (
        serve(tmp_path, default_model="scripted/short", base_path="/chat") as server,
        empty_page(browser, f"{server.url}/chat") as page,
    ):
        found = await page.evaluate(CONVERSE, [f"{server.url}/chat", {}])
    check(found)


async def test_an_unlisted_page_cannot_import_it(browser: Browser, server: LiveServer) -> None:
    """Nothing is opened by default."""
    load = "(url) => import(`${url}/static/client.js`).then(() => 'imported', (error) => error.name)"
    async with another_site() as origin, visited(browser, origin) as page:
        assert await page.evaluate(load, server.url) == "TypeError"


async def test_a_cut_connection_goes_on_behind_the_cursor(browser: Browser, tmp_path: Path) -> None:
    """Nothing is missing and nothing comes twice, and whoever watches is told about the link."""
    backend = PuppetBackend()
    async with (
        serve(tmp_path, extra=(backend,), default_model="puppet/puppet") as server,
        wire_to(server.url) as wire,
        empty_page(browser, wire.url) as page,
    ):
        await page.evaluate(WATCH, [wire.url, "s1", {}])  # before the session exists
        await when_seen(page, "links.length === 1")
        await server.client.post("s1", "hello")
        model = await generation(backend)
        model.say("one ", "two ")
        await when_seen(page, "text === 'one two '")
        wire.cut()
        await when_seen(page, "links.length === 2")
        model.say("three ")
        wire.mend()
        model.say("four")
        model.finish()
        await when_seen(page, "events.at(-1).type === 'end'")
        assert await seen(page, "text") == "one two three four"
        assert await seen(page, "links") == [True, False, True]


async def test_a_silent_connection_is_opened_again(browser: Browser, tmp_path: Path) -> None:
    """A firewall that forgets a connection closes nothing: only the missing heartbeat shows it."""
    backend = PuppetBackend()
    async with (
        serve(tmp_path, extra=(backend,), default_model="puppet/puppet") as server,
        wire_to(server.url) as wire,
        empty_page(browser, wire.url) as page,
    ):
        await page.clock.install()
        await page.evaluate(WATCH, [wire.url, "s1", {}])
        await server.client.post("s1", "hello")
        model = await generation(backend)
        model.say("one ")
        await when_seen(page, "text === 'one '")
        wire.mute(all_open=True)
        model.say("two")
        await page.clock.run_for(41_000)
        await when_seen(page, "links.includes(false)")  # it may be up again already
        # The browser may try a pooled connection first, which is as silent: the client gives that up after a while.
        for time in ATTEMPTS:
            await page.clock.run_for(time)
            with suppress(PlaywrightTimeoutError):
                await when_seen(page, "text === 'one two'", timeout=WHILE)
                break
        assert await seen(page, "text") == "one two"
        model.finish()


async def test_a_cursor_that_cannot_be_served(browser: Browser, server: LiveServer) -> None:
    """The reset comes with a snapshot, and the events go on from there."""
    await server.client.ask("s1", "hello", model="scripted/short")
    async with empty_page(browser, server.url) as page:
        await page.evaluate(WATCH, [server.url, "s1", {"cursor": "1-1", "render": "html"}])
        await when_seen(page, "events.length > 0")
        (reset,) = await seen(page, "events")
        assert (reset["type"], reset["reason"]) == ("reset", "epoch")
        assert reset["cursor"] == reset["snapshot"]["cursor"]
        assert reset["snapshot"]["messages"][-1]["blocks"] != []
        await server.client.ask("s1", "and again", model="scripted/short")
        await when_seen(page, "events.at(-1).type === 'end'")
        assert (
            await seen(page, "text")
            == (await server.client.get("/api/sessions/s1"))["messages"][-1]["content"]
        )


async def test_whoever_leaves_is_no_viewer_any_more(browser: Browser, server: LiveServer) -> None:
    """An abort ends the loop without an error, and closes the connection."""
    await server.client.ask("s1", "hello", model="scripted/short")
    async with empty_page(browser, server.url) as page:
        await page.evaluate(WATCH, [server.url, "s1", {}])
        await until(lambda: server.registry.statistics().viewers == 1)
        await page.evaluate("window.ending.abort()")
        await when_seen(page, "isOver")
        assert await seen(page, "error") is None
        await until(lambda: server.registry.statistics().viewers == 0)


async def test_a_refusal_for_good_is_thrown(browser: Browser, server: LiveServer) -> None:
    """With the status and the code of the problem; it is not tried again."""
    async with empty_page(browser, server.url) as page:
        await page.evaluate(WATCH, [server.url, "s1", {"cursor": "1-1"}])
        await when_seen(page, "isOver")
        assert await seen(page, "error") == [True, 404, "session_not_found"]


async def test_a_refusal_for_now_is_waited_out(browser: Browser, server: LiveServer) -> None:
    """At least for as long as `Retry-After` says."""
    await server.client.ask("s1", "hello", model="scripted/short")
    asked = 0

    async def refuse_once(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await route.fulfill(status=503, headers={"Retry-After": "60"}, body="try later")
        else:
            await route.continue_()

    async with empty_page(browser, server.url) as page:
        await page.route("**/events*", refuse_once)
        await page.clock.install()
        await page.evaluate(WATCH, [server.url, "s1", {}])
        await when_seen(page, "links.length === 1")
        await page.clock.run_for(59_000)
        assert asked == 1
        await page.clock.run_for(2_000)
        await when_seen(page, "links.at(-1) === true")
        assert asked == 2


async def test_the_program_of_the_docs_works(browser: Browser, tmp_path: Path) -> None:
    """As it stands in docs/api.md, in a page of a listed origin."""
    document = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    program = next(part for part in document.split("```js\n") if part.startswith("import")).partition("```")[
        0
    ]
    for holder in ("https://chat.example.org", '"TOKEN"'):
        assert holder in program
    async with another_site("<!doctype html><title>Another site</title><p id=answer></p>") as origin:
        settings: dict[str, Any] = {
            "allowed_origins": (origin,),
            "default_model": "scripted/short",
            "access_token": TOKEN,
        }
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with serve(tmp_path, headers=headers, **settings) as server, visited(browser, origin) as page:
            program = program.replace("https://chat.example.org", server.url).replace(
                '"TOKEN"', json.dumps(TOKEN)
            )
            await page.add_script_tag(content=f"window.done = (async () => {{ {_dynamic(program)} }})();")
            await page.evaluate("window.done")
            text = await page.locator("#answer").text_content()
            assert text == (await server.client.get("/api/sessions/demo"))["messages"][-1]["content"] != ""


def _dynamic(program: str) -> str:
    """Return a program with its import made an expression, so that a test can wait for its end."""
    line, _, rest = program.partition("\n")
    names, _, address = line.removeprefix("import ").removesuffix(";").partition(" from ")
    return f"const {names} = await import({address});\n{rest}"
