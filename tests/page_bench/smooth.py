"""A long answer on a slow machine: frames dropped, long tasks, and whether its end costs more than its beginning.

The processor of the page is slowed down four times. Chromium does that by burning the page's own time, so the
processor time of the page's main thread, which the trace has, is that of the slow machine, and hardly depends on what
else this one does. Frames do depend on that: a frame counts as dropped by the page only if its main thread had been at
work for a whole frame since the one before; what the machine kept waiting is shown beside it.
"""

from __future__ import annotations

import json
from bisect import bisect
from itertools import pairwise
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
ANSWER_SECONDS = 300.0  # at most; ninety on a machine that keeps up

# Note when each frame began, beside the moment of the mark, by which the trace has another clock.
WATCH = """() => {
  const seen = { frames: [], begin: performance.now() };
  const note = (now) => {
    seen.frames.push(now);
    seen.request = requestAnimationFrame(note);
  };
  seen.request = requestAnimationFrame(note);
  globalThis.seenFrames = seen;
  performance.mark("begin");
}"""
LEAVE = """() => {
  performance.mark("end");
  const { frames, begin, request } = globalThis.seenFrames;
  cancelAnimationFrame(request);
  return frames.map((frame) => frame - begin);
}"""
BEGUN = "document.querySelector('article:last-of-type [data-part=content]')?.textContent.length > 0"
ENDED = "document.querySelector('article:last-of-type').dataset.outcome"


class Task(NamedTuple):
    """One task of the page's main thread, in ms since the mark."""

    at: float
    cost: float  # processor time


class Round(NamedTuple):
    """What was seen while an answer came."""

    dropped: float  # % of the frames that there should have been, for which the page had no time
    late: float  # % that did not come in time for whatever reason
    longest: float  # ms of processor time of the longest task
    growth: float  # processor time of the last tenth of the time, by that of the first


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
        frames = await chat.page.evaluate(LEAVE)
        return _round(frames, json.loads(await stage.browser.stop_tracing())["traceEvents"])


async def _slow_down(page: Page) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})


def _round(frames: list[float], events: list[dict[str, Any]]) -> Round:
    tasks, seconds = _tasks(events)
    tenth = seconds / TENTHS
    first = sum(task.cost for task in tasks if 0 <= task.at < tenth)
    last = sum(task.cost for task in tasks if seconds - tenth <= task.at < seconds)
    late, dropped = _missed(frames, tasks)
    due = (len(frames) + late) / 100
    longest = max(task.cost for task in tasks if task.at >= 0)
    return Round(dropped / due, late / due, longest, last / first)


def _tasks(events: list[dict[str, Any]]) -> tuple[list[Task], float]:
    """Return the tasks of the thread that set the marks, in their order, and the ms from one mark to the other."""
    begin, end = (
        next(event for event in events if event["name"] == name and event["ph"] != "M")
        for name in ("begin", "end")
    )
    thread = begin["pid"], begin["tid"]
    tasks = [
        Task((event["ts"] - begin["ts"]) / 1000, event.get("tdur", 0) / 1000)
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == thread
    ]
    return sorted(tasks), (end["ts"] - begin["ts"]) / 1000


def _missed(frames: list[float], tasks: list[Task]) -> tuple[int, int]:
    """Return how many frames are missing between those that came, and for how many of them the page was at work."""
    begins = [task.at for task in tasks]
    late = dropped = 0
    for before, after in pairwise(frames):
        missing = max(0, round((after - before) / FRAME) - 1)
        work = sum(task.cost for task in tasks[bisect(begins, before) : bisect(begins, after)])
        late += missing
        dropped += min(missing, int(work / FRAME))
    return late, dropped


async def measure(stage: Stage, rounds: int) -> list[Gate]:
    """Watch several answers; the figures are medians."""
    seen_rounds = [await answer(stage, number + 1) for number in range(rounds)]
    dropped, late, longest, growth = (median(figures) for figures in zip(*seen_rounds, strict=True))
    what = f"100 KB answer, 200 tokens/s, {SLOWER} times slower"
    waited = f" ({late:.1f} with those that the machine kept waiting)"
    return [
        at_most(f"{what}: dropped frames, %", dropped, DROPPED, "{:.1f}", waited),
        at_most(f"{what}: longest task, ms", longest, LONG),
        at_most(f"{what}: last tenth to first", growth, GROWTH, "{:.2f}"),
    ]
