"""The explorer itself: its loop is asyncio's in virtual time, its tokens replay, its shrinking shrinks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.schedules.choices import Scripted, read_token, write_token
from tests.schedules.explorer import children
from tests.schedules.library import scenario
from tests.schedules.loop import VirtualLoop
from tests.schedules.operations import Stop
from tests.schedules.world import World


async def _program(said: list[str]) -> None:
    """Sleeps, events, timeouts, cancellations: whatever has an order."""
    bell = asyncio.Event()

    async def sleeper(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            bell.set()
        finally:
            said.append(f"{name} is done")

    async def listener(name: str) -> None:
        await bell.wait()
        said.append(f"{name} heard")

    tasks = [asyncio.ensure_future(listener(name)) for name in "ab"]
    tasks += [asyncio.ensure_future(sleeper("short", 0.01)), asyncio.ensure_future(sleeper("long", 60.0))]
    await asyncio.wait(tasks, timeout=0.1)
    tasks[-1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    except TimeoutError:
        said.append("timeout")


def _run(program: Coroutine[Any, Any, None]) -> VirtualLoop:
    loop = VirtualLoop()  # type: ignore[abstract]
    with loop.running():
        task = loop.create_task(program)
        while not task.done():
            if loop.ready():
                loop.run(0)
            else:
                loop.pass_time()
    task.result()
    return loop


def test_the_default_schedule_is_what_asyncio_does() -> None:
    """Choosing 0 each time runs a program as the standard library's own loop runs it."""
    real: list[str] = []
    virtual: list[str] = []
    asyncio.run(_program(real))
    _run(_program(virtual))
    assert virtual == real


def test_time_passes_only_when_told() -> None:
    """An hour of sleep takes no time, and the clock shows it."""
    assert _run(asyncio.sleep(3600)).time() == 3600


def test_time_that_passes_while_callbacks_wait_is_told_apart() -> None:
    """The loop knows for how long it kept callbacks waiting."""
    loop = VirtualLoop()  # type: ignore[abstract]
    loop.call_later(5, list)
    loop.call_soon(list)
    loop.pass_time()
    assert (loop.time(), loop.starved) == (5, 5)


def test_input_and_output_are_impossible() -> None:
    """Whoever reaches for a socket in this loop is stopped."""
    loop = VirtualLoop()  # type: ignore[abstract]
    with pytest.raises(NotImplementedError):
        loop.add_reader(0, print)


def test_a_token_is_read_as_it_was_written() -> None:
    """A schedule survives the way through text."""
    assert read_token(write_token("two-told", {17: 2, 3: 1})) == ("two-told", {3: 1, 17: 2})


@pytest.mark.parametrize("token", ["two", "two@3", "two@3=1,", "@3=1", "two@a=b"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """A torn token is an error, not another schedule."""
    with pytest.raises(ValueError, match="not a schedule"):
        read_token(token)


def test_the_same_choices_make_the_same_story() -> None:
    """A run depends on its choices alone."""
    stories = []
    for _ in range(2):
        world = World(scenario("walk-3"), Scripted({5: 1, 30: 2, 70: 1}))
        world.run()
        stories.append(world.story)
    assert stories[0] == stories[1]


def test_no_schedule_is_run_twice() -> None:
    """The children of a level are all different, and each has one departure more than its parent."""
    parent = Scripted({})
    World(scenario("one"), parent).run()
    level = list(children([(b"", parent.chosen, parent.options)]))
    assert len(level) == len(set(level)) == sum(parent.options) - len(parent.options)
    assert {sum(choice > 0 for choice in prefix) for prefix in level} == {1}


def test_an_operation_can_be_taken_out_of_a_scenario() -> None:
    """The name of the smaller scenario finds it again."""
    whole = scenario("stop-or-next")
    smaller = whole.without(1).without(2)
    assert smaller.lanes == ((whole.lanes[0][0],), ())
    assert scenario(smaller.name) == smaller
    assert isinstance(whole.lanes[0][1], Stop)
