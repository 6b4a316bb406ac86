"""A tab's end of the event stream: what it tells of the connection."""

from __future__ import annotations

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
    const { Link } = await import(`${url}/link.js`);
    const told = [];
    let heard = () => {};
    const next = () => new Promise((resolve) => { heard = resolve; });
    const link = new Link("s1", {
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
    const { Link } = await import(`${url}/link.js`);
    const seen = [];
    const link = new Link("s1", {
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
