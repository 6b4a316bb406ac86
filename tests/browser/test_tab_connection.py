"""A tab's end of the event stream: what it tells of the connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.modules import Modules

# A link whose worker is the test, and whose snapshot cannot be had.
TOLD = """async (url) => {
    const ports = [];
    window.SharedWorker = class {
        constructor() {
            const { port1, port2 } = new MessageChannel();
            this.port = port1;
            ports.push(port2);
        }
    };
    const { Connection } = await import(`${url}/net/connection.js`);
    const told = [];
    let heard = () => {};
    const next = () => new Promise((resolve) => { heard = resolve; });
    const link = new Connection("s1", {
        onLink: (isUp) => { told.push(isUp); heard(); },
        onEvent: () => {},
        getCursor: () => null,
        catchUp: async () => "later",
    });
    const say = async (message) => { const done = next(); ports.at(-1).postMessage([message]); await done; };
    link.open();
    await say({ type: "refused" });
    await say({ type: "refused" });
    link.close();
    link.open();
    await say({ type: "link", isUp: true });
    link.close();
    return told;
}"""


def test_a_link_that_is_opened_anew_knows_nothing_of_earlier_failures(modules: Modules) -> None:
    """Two snapshots in a row that fail are told; a connection that was let go of takes that along."""
    assert modules.page.evaluate(TOLD, modules.url) == [True, False, True]


# A link that is let go of by the first of two events that came together.
LET_GO = """async (url) => {
    const { port1, port2 } = new MessageChannel();
    window.SharedWorker = class { port = port1; };
    const { Connection } = await import(`${url}/net/connection.js`);
    const seen = [];
    const link = new Connection("s1", {
        onEvent: (name) => { seen.push(name); link.close(); },
        onLink: () => {},
        getCursor: () => null,
        catchUp: async () => "ready",
    });
    link.open();
    const events = ["end", "token"].map((name) => ({ type: "event", name, data: "{}", id: "1-1" }));
    port2.postMessage([...events, { type: "ping" }]);
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve));
    return seen;
}"""


def test_what_comes_with_a_last_event_is_dropped(modules: Modules) -> None:
    """A page that has let go of its connection hears nothing more of it."""
    assert modules.page.evaluate(LET_GO, modules.url) == ["end"]


# A link whose workers say nothing but what the test has them say.
WORKERS = """async (url) => {
    window.ports = [];
    window.heard = [];
    window.SharedWorker = class {
        constructor() {
            const { port1, port2 } = new MessageChannel();
            this.port = port1;
            port2.onmessage = ({ data }) => { heard.push(data.type); };
            ports.push(port2);
        }
    };
    window.EventSource = class extends EventTarget { close() {} };
    const { Connection } = await import(`${url}/net/connection.js`);
    window.link = new Connection("s1", {
        onLink() {}, onEvent() {}, getCursor: () => "1-1", catchUp: async () => "ready",
    });
    link.open();
}"""
TURN = """() => new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
})"""


@pytest.fixture
def workers(modules: Modules) -> Iterator[Page]:
    """A page with a link; time stands still unless the test moves it."""
    page = modules.page
    page.goto(page.url)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.evaluate(WORKERS, modules.url)
    yield page
    page.clock.resume()
    page.goto(page.url)


def passes(page: Page, seconds: int) -> None:
    """Let time pass, as it does for a page that is awake."""
    for _ in range(seconds):
        page.clock.run_for(1000)
        page.evaluate(TURN)


def test_a_worker_that_has_died_is_replaced_as_soon_as_a_dead_connection(workers: Page) -> None:
    """It pings every 5 s; 13 s without a word are enough."""
    for _ in range(6):
        passes(workers, 5)
        workers.evaluate("ports.at(-1).postMessage([{ type: 'ping' }])")
        workers.evaluate(TURN)
    assert workers.evaluate("ports.length") == 1
    passes(workers, 13)
    assert workers.evaluate("ports.length") == 2
    assert workers.evaluate("heard.at(-1)") == "watch"


def test_a_worker_that_hangs_is_done_without(workers: Page) -> None:
    """A new port leads to the same worker: silent a second time, the tab has a connection of its own."""
    passes(workers, 13)
    assert workers.evaluate("ports.length") == 2
    passes(workers, 60)
    assert workers.evaluate("ports.length") == 2
    assert (
        workers.evaluate(
            "(async () => (await import('/static/net/connection.js'))"
            " && heard.filter((each) => each === 'leave').length)()"
        )
        == 2
    )


def test_a_tab_that_slept_listens_before_it_judges(workers: Page) -> None:
    """Its timers have slept along, and what the worker said lies in the queue."""
    passes(workers, 2)
    workers.clock.fast_forward(600_000)
    workers.evaluate("ports.at(-1).postMessage([{ type: 'ping' }])")
    workers.evaluate(TURN)
    passes(workers, 5)
    assert workers.evaluate("ports.length") == 1
