"""How often the page paints: each frame where that is cheap, at most a quarter of the time where it is not."""

from __future__ import annotations

import pytest

from tests.browser.modules import Modules

FRAMES = 40

# Ask for a paint in each of some frames; a paint keeps the page at work for `cost` ms. The clock is the test's.
WATCH = """async ([url, cost, count]) => {
    const { Frames } = await import(`${url}/transcript/frames.js`);
    let now = 0, painted = [], frame = 0, timers = [];
    performance.now = () => now;
    window.setTimeout = (call, wait) => timers.push({ call, at: now + wait });
    const pace = new Frames(() => { painted.push(frame); now += cost; });
    const turn = () => new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = resolve;
        port2.postMessage(null);
    });
    for (; frame < count; frame += 1) {
        const begin = now, due = timers.filter(({ at }) => at <= now);
        timers = timers.filter(({ at }) => at > now);
        for (const { call } of due) call();
        for (let token = 0; token < 3; token += 1) pace.request();
        await new Promise((resolve) => requestAnimationFrame(resolve));
        await turn();
        await turn();
        now = Math.max(begin + 16, now);
    }
    pace.close();
    delete performance.now; // the true one is found again
    return painted;
}"""


@pytest.mark.parametrize(
    ("cost", "paints"),
    [
        pytest.param(4, FRAMES, id="each frame, and once"),
        pytest.param(12, FRAMES / 3, id="every third frame, where a paint takes most of one"),
        pytest.param(32, FRAMES / 7, id="for a quarter of the time, where it takes two"),
    ],
)
def test_a_page_paints_for_a_quarter_of_the_time_at_most(modules: Modules, cost: int, paints: float) -> None:
    painted = modules.page.evaluate(WATCH, [modules.url, cost, FRAMES])
    assert len(painted) == pytest.approx(paints, abs=1)
    assert len(set(painted)) == len(painted)
    assert painted[0] == 0, "the first paint waits for nothing"


@pytest.mark.parametrize(
    ("then", "paints"),
    [
        pytest.param("paintNow", 1, id="what is painted at once is not painted again"),
        pytest.param("close", 0, id="nothing is painted after the end"),
    ],
)
def test_what_was_asked_for_before(modules: Modules, then: str, paints: int) -> None:
    painted = modules.page.evaluate(
        """async ([url, then]) => {
            const { Frames } = await import(`${url}/transcript/frames.js`);
            let painted = 0;
            const pace = new Frames(() => { painted += 1; });
            pace.request();
            pace[then]();
            for (let frame = 0; frame < 3; frame += 1) await new Promise((resolve) => requestAnimationFrame(resolve));
            return painted;
        }""",
        [modules.url, then],
    )
    assert painted == paints
