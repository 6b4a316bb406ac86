"""A long answer on a slow machine: frames dropped, long tasks, and whether its end costs more than its beginning.

The processor of the page is slowed down four times. Frames are counted by the page itself, and what a page in which
nothing happens misses of them on this machine, before the answer and after it, is not the page's fault. Tasks are those
of other answers, which are traced: a trace takes so much of a slow page's time that it would drop frames.
Chromium slows down by burning the page's own time, so the processor time of the page's main thread, which the trace
has, is that of the slow machine, and hardly depends on what else this one does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from playwright.async_api import Page

from tests.benchmarks.page.stage import ESSAY, Stage, seen
from tests.benchmarks.page.table import Gate, at_most

SLOWER = 4
FRAME = 1000 / 60  # ms
LONG = 100.0  # ms, of a task that a reader would feel
DROPPED = 2.0  # %
GROWTH = 1.3
TENTHS = 10
CATEGORIES = ["disabled-by-default-devtools.timeline", "blink.user_timing"]
IDLE_SECONDS = 10.0
ANSWER_SECONDS = 300.0  # at most; ninety on a machine that keeps up

WATCH = """() => {
  const seen = { frames: [] };
  const note = (now) => {
    seen.frames.push(now);
    seen.request = requestAnimationFrame(note);
  };
  seen.request = requestAnimationFrame(note);
  globalThis.seenFrames = seen;
}"""
LEAVE = """() => {
  cancelAnimationFrame(globalThis.seenFrames.request);
  return globalThis.seenFrames.frames;
}"""
MARK = "(name) => { performance.mark(name); }"
BEGUN = "document.querySelector('article:last-of-type [data-part=content]')?.textContent.length > 0"
ENDED = "document.querySelector('article:last-of-type').dataset.outcome"


class Frames(NamedTuple):
    """How many frames did not come, of 100 that there should have been."""

    missing: float  # while an answer came
    dropped: float  # by the page: more than while nothing happened


class Task(NamedTuple):
    """One task of the page's main thread, in ms since the mark."""

    at: float
    cost: float  # processor time


class Tasks(NamedTuple):
    """What an answer cost the page's main thread."""

    longest: float  # ms of processor time of the longest task
    growth: float  # processor time of the last tenth of the time, by that of the first


async def frames(stage: Stage, number: int) -> Frames:
    """Count the frames while a long answer comes."""
    async with stage.context() as context:
        chat = await stage.open(context, "/")
        await _slow_down(chat.page)
        before = await _idle(chat.page)
        await chat.ask(f"Tell me about mills, for the {number}. time", ESSAY)
        await seen(chat.page, BEGUN)
        await chat.page.evaluate(WATCH)
        await seen(chat.page, ENDED, within=ANSWER_SECONDS, every=0.5)
        missing = _missing(await chat.page.evaluate(LEAVE))
        idle = (before + await _idle(chat.page)) / 2
        return Frames(missing, max(0.0, missing - idle))


async def _idle(page: Page) -> float:
    await page.evaluate(WATCH)
    await asyncio.sleep(IDLE_SECONDS)
    return _missing(await page.evaluate(LEAVE))


async def tasks(stage: Stage, number: int) -> Tasks:
    """Trace the page while a long answer comes."""
    async with stage.context() as context:
        chat = await stage.open(context, "/")
        await _slow_down(chat.page)
        await stage.browser.start_tracing(page=chat.page, categories=CATEGORIES)
        await chat.ask(f"Tell me of wheels, for the {number}. time", ESSAY)
        await seen(chat.page, BEGUN)
        await chat.page.evaluate(MARK, "begin")
        await seen(chat.page, ENDED, within=ANSWER_SECONDS, every=0.5)
        await chat.page.evaluate(MARK, "end")
        return _cost(*_tasks(json.loads(await stage.browser.stop_tracing())["traceEvents"]))


async def _slow_down(page: Page) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})


def _missing(times: list[float]) -> float:
    """Return how many of 100 frames are missing between those that came at `times`, in ms."""
    missing = sum(max(0, round((after - before) / FRAME) - 1) for before, after in pairwise(times))
    return 100 * missing / (len(times) + missing)


def _cost(found: list[Task], whole: float) -> Tasks:
    tenth = whole / TENTHS
    first = sum(task.cost for task in found if 0 <= task.at < tenth)
    last = sum(task.cost for task in found if whole - tenth <= task.at < whole)
    return Tasks(max(task.cost for task in found if task.at >= 0), last / first)


def _tasks(events: list[dict[str, Any]]) -> tuple[list[Task], float]:
    """Return the tasks of the thread that set the marks, and the ms from one mark to the other."""
    begin, end = (
        next(event for event in events if event["name"] == name and event["ph"] != "M")
        for name in ("begin", "end")
    )
    thread = begin["pid"], begin["tid"]
    found = [
        Task((event["ts"] - begin["ts"]) / 1000, event.get("tdur", 0) / 1000)
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == thread
    ]
    return found, (end["ts"] - begin["ts"]) / 1000


async def measure(stage: Stage, rounds: int) -> list[Gate]:
    """Watch several answers; the figures are medians."""
    missing, dropped = _medians([await frames(stage, number + 1) for number in range(rounds)])
    longest, growth = _medians([await tasks(stage, number + 1) for number in range(rounds)])
    what = f"100 KB answer, 200 tokens/s, {SLOWER} times slower"
    note = f" ({missing:.1f} with those that an idle page misses here)"
    return [
        at_most(f"{what}: dropped frames, %", dropped, DROPPED, "{:.1f}", note),
        at_most(f"{what}: longest task, ms", longest, LONG),
        at_most(f"{what}: last tenth to first", growth, GROWTH, "{:.2f}"),
    ]


def _medians(seen_rounds: Sequence[tuple[float, float]]) -> list[float]:
    return [median(figures) for figures in zip(*seen_rounds, strict=True)]
