"""Large uploads of one owner take turns."""

from __future__ import annotations

import asyncio

from app.web.input.body_budget import BodyBudget


async def test_the_first_upload_always_goes_on() -> None:
    """However large it is, and whatever the others hold."""
    budget = BodyBudget(100)
    first, second = budget.open("ann"), budget.open("ann")
    assert await second.grow(99)
    assert await first.grow(1000)
    waiting = asyncio.create_task(second.grow(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.close()
    assert await waiting
    assert budget.held == 100


async def test_another_owner_is_not_held_up() -> None:
    """Each has an account of their own."""
    budget = BodyBudget(100)
    await budget.open("ann").grow(1000)
    assert await budget.open("bob").grow(100)


async def test_the_next_one_goes_on_when_the_first_is_done() -> None:
    """One after the other, in the order in which they began."""
    budget = BodyBudget(10)
    shares = [budget.open("ann") for _ in range(4)]
    done: list[int] = []

    async def upload(number: int) -> None:
        for _ in range(5):
            assert await shares[number].grow(10)
        done.append(number)
        shares[number].close()

    await asyncio.gather(*(upload(number) for number in (2, 0, 3, 1)))
    assert done == [0, 1, 2, 3]
    assert budget.held == 0


async def test_a_cancelled_upload_leaves_nothing_behind() -> None:
    """Its client has gone."""
    budget = BodyBudget(10)
    first, second = budget.open("ann"), budget.open("ann")
    await first.grow(20)
    waiting = asyncio.create_task(second.grow(1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    second.close()
    second.close()
    first.close()
    assert budget.held == 0
