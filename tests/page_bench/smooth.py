"""A long answer on a slow machine: frames dropped, long tasks, and whether its end costs more than its beginning.

The processor of the page is slowed down four times. Chromium does that by burning the page's own time, so the
processor time of the page's main thread, which the trace has, is that of the slow machine, and hardly depends on what
else this one does. Frames do depend on that: an idle page is measured before each answer, and what it drops is
not counted against the answer.
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any, NamedTuple

from playwright.async_api import Page

from tests.page_bench.stage import ESSAY, Stage, seen
from tests.page_bench.table import Gate, at_most

SLOWER = 4
FRAME = 1000 / 60  # ms
LONG = 100.0  # ms, of a task that a reader would feel
DROPPED = 2.0  # %
GROWTH = 1.3
TENTHS = 10
CATEGORIES = ["disabled-by-default-devtools.timeline", "blink.user_timing"]
IDLE_SECONDS = 20.0
ANSWER_SECONDS = 300.0  # at most; ninety on a machine that keeps up

# Count the frames between two marks. A callback that comes late has missed those in between.
WATCH = """() => {
  const seen = { frames: 0, dropped: 0 };
  let last = null;
  const count = (now) => {
    if (last !== null) {
      seen.frames += 1;
      seen.dropped += Math.max(0, Math.round((now - last) / FRAME) - 1);
    }
    last = now;
    seen.request = requestAnimationFrame(count);
  };
  seen.request = requestAnimationFrame(count);
  globalThis.seenFrames = seen;
  performance.mark("begin");
}""".replace("FRAME", str(FRAME))
LEAVE = """() => {
  performance.mark("end");
  const { frames, dropped, request } = globalThis.seenFrames;
  cancelAnimationFrame(request);
  return [frames, dropped];
}"""
BEGUN = "document.querySelector('article:last-of-type [data-part=content]')?.textContent.length > 0"
ENDED = "document.querySelector('article:last-of-type').dataset.outcome"


class Task(NamedTuple):
    """One task of the page's main thread, in ms of the trace's clock."""

    at: float
    cost: float  # processor time


class Round(NamedTuple):
    """What was seen while the page was watched."""

    dropped: float  # % of the frames that there should have been
    longest: float  # ms of processor time of the longest task
    tenths: list[float]  # ms of processor time of each tenth of the time


async def answer(stage: Stage, number: int) -> Round:
    """Watch the page while a long answer comes."""
    async with stage.context() as context:
        chat = await stage.open(context, "/")
        await _slow_down(chat.page)
        await stage.browser.start_tracing(page=chat.page, categories=CATEGORIES)
        await chat.ask(f"Tell me about mills, for the {number}. time", ESSAY)
        await seen(chat.page, BEGUN)
        await chat.page.evaluate(WATCH)
        await seen(chat.page, ENDED, within=ANSWER_SECONDS, every=0.5)
        frames, dropped = await chat.page.evaluate(LEAVE)
        return _round(frames, dropped, await stage.browser.stop_tracing())


async def idle(stage: Stage, seconds: float) -> Round:
    """Watch a page on which nothing happens."""
    async with stage.context() as context:
        chat = await stage.open(context, "/")
        await _slow_down(chat.page)
        await stage.browser.start_tracing(page=chat.page, categories=CATEGORIES)
        await chat.page.evaluate(WATCH)
        await chat.page.wait_for_timeout(seconds * 1000)
        frames, dropped = await chat.page.evaluate(LEAVE)
        return _round(frames, dropped, await stage.browser.stop_tracing())


async def _slow_down(page: Page) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})


def _round(frames: int, dropped: int, trace: bytes) -> Round:
    tasks, begin, end = _read(json.loads(trace)["traceEvents"])
    tenth = (end - begin) / TENTHS
    tenths = [0.0] * TENTHS
    for task in tasks:
        if begin <= task.at < end:
            tenths[int((task.at - begin) / tenth)] += task.cost
    longest = max((task.cost for task in tasks if task.at >= begin), default=0.0)
    return Round(100 * dropped / max(1, frames + dropped), longest, tenths)


def _read(events: list[dict[str, Any]]) -> tuple[list[Task], float, float]:
    """Return the tasks of the thread that set the marks, and when it set them."""
    marks = {
        event["name"]: event for event in events if event["name"] in ("begin", "end") and event["ph"] != "M"
    }
    begin, end = marks["begin"], marks["end"]
    thread = begin["pid"], begin["tid"]
    tasks = [
        Task(event["ts"] / 1000, event.get("tdur", 0) / 1000)
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == thread
    ]
    return tasks, begin["ts"] / 1000, end["ts"] / 1000


async def measure(stage: Stage, rounds: int) -> list[Gate]:
    """Watch an idle page and an answer in turns; figures are medians, and ratios are taken within a round."""
    pairs = []
    for number in range(rounds):
        rest = await idle(stage, IDLE_SECONDS)
        pairs.append((rest, await answer(stage, number + 1)))
    dropped = [max(0.0, busy.dropped - rest.dropped) for rest, busy in pairs]
    longest = [busy.longest for _, busy in pairs]
    growth = [busy.tenths[-1] / busy.tenths[0] for _, busy in pairs]
    idle_drops = median(rest.dropped for rest, _ in pairs)
    what = f"100 KB answer, 200 tokens/s, {SLOWER} times slower"
    return [
        at_most(
            f"{what}: dropped frames, %", median(dropped), DROPPED, "{:.1f}", f" (idle page {idle_drops:.1f})"
        ),
        at_most(f"{what}: longest task, ms", median(longest), LONG),
        at_most(f"{what}: last tenth to first", median(growth), GROWTH, "{:.2f}"),
    ]
