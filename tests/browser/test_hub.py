"""The hub of the one event stream: which sessions it asks for, from where, when it tries again, and who hears what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.modules import Modules

# A hub with tabs as ports, and an EventSource that a test speaks through. Time stands still unless a test moves it.
SET_UP = """async (url) => {
    const { Hub } = await import(`${url}/net/hub.js`);
    class Fake extends EventTarget {
        static CLOSED = 2; static OPEN = 1;
        static all = [];
        constructor(address) { super(); this.url = address; this.readyState = 0; Fake.all.push(this); }
        close() { this.readyState = 2; this.isClosed = true; }
    }
    window.EventSource = Fake;
    window.hub = new Hub();
    window.tabs = {};
    window.tab = (name) => {
        const { port1, port2 } = new MessageChannel();
        hub.attach(port1);
        const heard = [];
        port2.onmessage = ({ data }) => {
            heard.push(data);
            if (data.some(({ type }) => type === "ping") && !tabs[name].isAsleep) port2.postMessage({ type: "pong" });
        };
        tabs[name] = { port: port2, heard };
    };
    window.source = () => Fake.all.at(-1);
}"""
FRAME = 16  # ms, within which what comes goes to a tab together
# Messages between ports take a turn of the event loop each; timers of the hub run when the clock is moved.
TURN = """() => new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
})"""


class HubPage:
    """A page with a hub in it."""

    def __init__(self, modules: Modules) -> None:
        self.page = modules.page
        self.page.goto(self.page.url)
        self.page.evaluate(SET_UP, modules.url)

    def tab(self, name: str, session: str | None = None, cursor: str | None = None) -> None:
        """Open a tab; let it watch a session."""
        self.page.evaluate("(name) => tab(name)", name)
        if session is not None:
            self.says(name, type="watch", sessionId=session, cursor=cursor)

    def says(self, tab: str, **message: Any) -> None:
        """Let a tab say something."""
        self.page.evaluate("([tab, message]) => tabs[tab].port.postMessage(message)", [tab, message])
        self.passes(0)

    def passes(self, ms: int) -> None:
        """Let time pass."""
        self.page.evaluate(TURN)
        self.page.clock.run_for(ms)
        self.page.evaluate(TURN)

    def asked(self) -> list[str]:
        """Return what each connection asked for."""
        urls: list[str] = self.page.evaluate("EventSource.all.map((source) => source.url)")
        return [url.removeprefix("/events?") for url in urls]

    def opens(self) -> None:
        """Let the server accept the connection."""
        self.page.evaluate("source().readyState = 1; source().onopen()")
        self.passes(0)

    def breaks(self, *, refused: bool = False) -> None:
        """Let the connection break, or the server refuse it."""
        self.page.evaluate(
            "(state) => { source().readyState = state; source().onerror(); }", 2 if refused else 0
        )
        self.page.evaluate(TURN)

    def comes(self, name: str, data: str = "{}", event_id: str = "") -> None:
        """Let an event come."""
        self.page.evaluate(
            "([name, data, lastEventId]) => source().dispatchEvent(new MessageEvent(name, { data, lastEventId }))",
            [name, data, event_id],
        )
        self.passes(0)

    def heard(self, tab: str) -> list[Any]:
        """Return what a tab has heard since it was asked last, and within a frame from now, pings left out."""
        self.passes(FRAME)
        found: list[Any] = self.page.evaluate("(tab) => tabs[tab].heard.splice(0).flat()", tab)
        return [message for message in found if message["type"] != "ping"]

    def batches(self, tab: str) -> list[list[str]]:
        """Return the ids of the events of each message that a tab has had since it was asked last."""
        found: list[list[Any]] = self.page.evaluate("(tab) => tabs[tab].heard.splice(0)", tab)
        return [[event["id"] for event in batch] for batch in found]


@pytest.fixture
def hub(modules: Modules) -> Iterator[HubPage]:
    """A hub without tabs."""
    modules.page.clock.install(time=0)
    modules.page.clock.pause_at(1000)
    yield HubPage(modules)
    modules.page.clock.resume()


def test_tabs_share_one_connection(hub: HubPage) -> None:
    """It asks for the sessions of all tabs, each from its cursor, and the one before it is closed."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two")
    assert hub.asked() == ["watch=one:1-5", "watch=one:1-5&watch=two:new"]
    assert hub.page.evaluate("EventSource.all.map((source) => source.isClosed === true)") == [True, False]


def test_an_event_goes_to_the_tabs_of_its_session(hub: HubPage) -> None:
    """With the cursor that belongs to the session."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two", "1-1")
    hub.tab("c", "one", "1-5")
    hub.comes("token", '{"text": "x"}', "one/1-6")
    event = {"type": "event", "name": "token", "data": '{"text": "x"}', "id": "1-6"}
    assert hub.heard("a") == hub.heard("c") == [event]
    assert hub.heard("b") == []


def test_what_comes_within_a_frame_goes_together(hub: HubPage) -> None:
    """A message is a task of the page: one that comes alone goes at once, those behind it with the next frame."""
    hub.tab("a", "one", "1-5")
    hub.heard("a")
    for seq in range(6, 10):
        hub.comes("token", "{}", f"one/1-{seq}")
    assert hub.batches("a") == [["1-6"]]
    hub.passes(FRAME)
    assert hub.batches("a") == [["1-7", "1-8", "1-9"]]
    hub.passes(FRAME)
    hub.comes("token", "{}", "one/1-10")
    assert hub.batches("a") == [["1-10"]]


def test_a_block_moves_no_cursor(hub: HubPage) -> None:
    """An EventSource repeats the last id for frames that have none."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two", "1-1")
    hub.comes("block", '{"session_id": "two", "index": 0}', "one/1-5")
    [event] = hub.heard("b")
    assert (event["name"], event["id"]) == ("block", None)
    assert hub.heard("a") == []


def test_a_lost_connection_goes_on_from_the_cursors(hub: HubPage) -> None:
    """With what each session has seen by then, after half a second at the most."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two", "1-1")
    hub.opens()
    hub.comes("token", "{}", "one/1-9")
    hub.breaks()
    hub.passes(500)
    assert hub.asked()[-1] == "watch=one:1-9&watch=two:1-1"


def test_attempts_come_slower_and_slower(hub: HubPage) -> None:
    """With half a minute between them at the most; a connection that opens begins anew."""
    hub.tab("a", "one", "1-5")
    waits = []
    for _ in range(9):
        hub.breaks()
        before, waited = len(hub.asked()), 0
        while len(hub.asked()) == before:
            hub.passes(250)
            waited += 250
        waits.append(waited)
    assert all(wait <= min(500 * 2**number, 30_000) for number, wait in enumerate(waits))
    assert waits[-1] >= 15_000
    hub.opens()
    hub.breaks()
    before = len(hub.asked())
    hub.passes(500)
    assert len(hub.asked()) == before + 1


def test_a_loss_is_told_after_two_seconds(hub: HubPage) -> None:
    """And so is its end; a shorter one is nobody's business."""
    hub.tab("a", "one", "1-5")
    hub.opens()
    hub.heard("a")
    hub.breaks()
    hub.passes(1900)
    assert hub.heard("a") == []
    hub.passes(100)
    assert hub.heard("a") == [{"type": "link", "isUp": False}]
    hub.opens()
    assert hub.heard("a") == [{"type": "link", "isUp": True}]


ANSWERS = """([status, detail]) => {
    window.fetched = [];
    window.fetch = async (url) => {
        fetched.push(url);
        if (status === 0) throw new TypeError();
        return { status, json: async () => ({ detail }) };
    };
}"""


def test_a_refusal_is_told(hub: HubPage) -> None:
    """The tab finds out what is the matter; the hub tries again."""
    hub.page.evaluate(ANSWERS, [0, ""])
    hub.tab("a", "one", "1-5")
    hub.breaks(refused=True)
    assert hub.heard("a") == [{"type": "refused"}]
    hub.passes(500)
    assert len(hub.asked()) == 2


def test_a_reason_is_told(hub: HubPage) -> None:
    """It is asked for once, however often the server refuses, and forgotten with a connection."""
    hub.page.evaluate(ANSWERS, [429, "Too many."])
    hub.tab("a", "one", "1-5")
    told = {"type": "link", "isUp": False, "reason": "Too many."}
    for _ in range(2):
        hub.breaks(refused=True)
        assert hub.heard("a") == [{"type": "refused"}, told]
        hub.passes(1000)
    assert hub.page.evaluate("fetched") == ["/events?watch=one:1-5"]
    hub.opens()
    hub.heard("a")
    hub.breaks()
    hub.passes(2000)
    assert hub.heard("a") == [{"type": "link", "isUp": False}]


@pytest.mark.parametrize("status", [200, 502, 0])
def test_no_other_answer_is_a_reason(hub: HubPage, status: int) -> None:
    """It may work again by then, a proxy may be in between, or nobody answers."""
    hub.page.evaluate(ANSWERS, [status, "Something else."])
    hub.tab("a", "one", "1-5")
    hub.breaks(refused=True)
    assert hub.heard("a") == [{"type": "refused"}]


def test_silence_is_a_loss(hub: HubPage) -> None:
    """Two heartbeats missing: the connection is opened anew, at once, and the loss is told unless that works."""
    hub.tab("a", "one", "1-5")
    hub.opens()
    hub.passes(9000)
    hub.comes("heartbeat")
    hub.passes(10_000)
    assert len(hub.asked()) == 1
    hub.passes(3000)
    assert hub.asked() == ["watch=one:1-5", "watch=one:1-5"]
    hub.opens()
    hub.heard("a")
    hub.passes(3000)
    assert hub.heard("a") == []


def test_after_a_silence_the_whole_pool_is_suspected(hub: HubPage) -> None:
    """An attempt may be given another dead connection. Each one that gets no answer is closed soon, six at the most."""
    hub.tab("a", "one", "1-5")
    hub.opens()
    hub.heard("a")
    hub.passes(13_000)
    assert len(hub.asked()) == 2
    hub.passes(2000)
    assert hub.heard("a") == [{"type": "link", "isUp": False}]
    hub.passes(16_000)
    assert len(hub.asked()) == 2 + 6
    hub.opens()
    assert hub.heard("a") == [{"type": "link", "isUp": True}]
    assert hub.page.evaluate("EventSource.all.filter((source) => !source.isClosed).length") == 1
    hub.passes(9000)
    assert len(hub.asked()) == 2 + 6


def test_a_connection_that_does_not_open_is_given_up(hub: HubPage) -> None:
    """A server that is slow has its time to answer, and then more and more of it."""
    hub.tab("a", "one", "1-5")
    hub.passes(10_000)
    assert len(hub.asked()) == 1
    hub.passes(120_000)
    assert 4 <= len(hub.asked()) <= 9


def test_somebody_who_looks_waits_for_no_backoff(hub: HubPage) -> None:
    """Only where the connection is down."""
    hub.tab("a", "one", "1-5")
    hub.breaks()
    hub.says("a", type="hurry")
    assert len(hub.asked()) == 2
    hub.opens()
    hub.says("a", type="hurry")
    assert len(hub.asked()) == 2


def test_a_tab_that_comes_later_needs_the_snapshot(hub: HubPage) -> None:
    """If others have seen more; what comes from now on it hears as they do. The connection does not go back for it."""
    hub.tab("a", "one", "1-5")
    hub.comes("token", "{}", "one/1-12")
    hub.tab("b", "one", "1-9")
    hub.tab("c", "one", "1-12")
    hub.tab("d", "one", "1-30")
    assert hub.asked() == ["watch=one:1-5"]
    assert hub.heard("b") == [{"type": "behind"}]
    assert hub.heard("c") == hub.heard("d") == []
    hub.comes("token", "{}", "one/1-13")
    assert hub.heard("b") == hub.heard("c") == hub.heard("d")


def test_after_a_reset_the_new_cursor_counts(hub: HubPage) -> None:
    """Whatever the session had before."""
    hub.tab("a", "one", "1-5")
    hub.comes("reset", '{"session_id": "one", "reason": "epoch"}')
    assert [event["name"] for event in hub.heard("a")] == ["reset"]
    hub.says("a", type="watch", sessionId="one", cursor="2-1")
    assert hub.asked()[-1] == "watch=one:2-1"


def test_a_session_without_tabs_is_watched_no_more(hub: HubPage) -> None:
    """Without any the connection is closed, and nothing is left running."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two", "1-1")
    hub.says("b", type="leave")
    assert hub.asked()[-1] == "watch=one:1-5"
    hub.says("a", type="leave")
    assert hub.page.evaluate("source().isClosed")
    before = len(hub.asked())
    hub.passes(120_000)
    assert len(hub.asked()) == before


def test_a_dead_tab_is_noticed(hub: HubPage) -> None:
    """One that answers no ping is dropped; should it wake up it is told to say again what it watches."""
    hub.tab("a", "one", "1-5")
    hub.tab("b", "two", "1-1")
    hub.page.evaluate("tabs.b.isAsleep = true")
    for _ in range(15):
        hub.passes(5_000)
        hub.comes("heartbeat")
    assert hub.asked()[-1] == "watch=one:1-5"
    hub.heard("b")
    hub.says("b", type="pong")
    assert hub.heard("b") == [{"type": "forgotten"}]


def test_there_is_a_limit_to_what_one_connection_carries(hub: HubPage) -> None:
    """The server takes 32 sessions; those that were opened last count."""
    for number in range(34):
        hub.tab(f"tab{number}", f"session{number}")
    asked = hub.asked()[-1].split("&")
    assert len(asked) == 32
    assert asked[-1] == "watch=session33:new"
