"""How a node leaves: idle sessions go together, and nothing that is slow or away cuts the running answers off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.chat.states import Outcome
from app.cluster.departure import Departure
from tests.doubles.estate import AWAY, ToyNode
from tests.doubles.leases import LeaseTable
from tests.support.waiting import until


@pytest.fixture
async def node() -> AsyncIterator[ToyNode]:
    """A node whose answer in "s" runs."""
    table = LeaseTable(asyncio.get_running_loop().time)
    await ToyNode("other", table).join()
    node = await ToyNode("a", table).join()
    await node.post()
    await until(lambda: node.backend.generations and node.backend.generations[0].opened.is_set())
    yield node
    await node.registry.close()


def departure(node: ToyNode) -> Departure:
    """What a signal starts."""
    return Departure(
        membership=node.membership, ownership=node.ownership, registry=node.registry, logger=node.logger
    )


async def test_idle_sessions_go_together(node: ToyNode) -> None:
    """There may be thousands. One that runs stays until its answer has ended."""
    for number in range(40):
        await node.ownership.owner(f"idle{number}")
    leaving = asyncio.ensure_future(departure(node).close(patience=60))
    await until(lambda: list(node.ownership.epochs()) == ["s"])
    assert (node.leases.released, node.estate.settled) == ([40], 1)
    node.backend.generations[0].say("done")
    node.backend.generations[0].finish()
    await asyncio.wait_for(leaving, 30)
    assert len(node.ownership) == 0


async def test_an_error_of_the_database_ends_no_answer(node: ToyNode) -> None:
    """It is tried again until the bound: the answer itself needs no database."""
    await node.ownership.owner("idle")
    stream = node.stream()
    node.estate.disk_failure = AWAY
    leaving = asyncio.ensure_future(departure(node).close(patience=60))
    await until(lambda: node.estate.settled > 1, within=30)
    assert not stream.cancelled
    assert node.logger.events.count("sessions_not_given_up") == 1
    node.estate.disk_failure = None
    node.backend.generations[0].say("done")
    node.backend.generations[0].finish()
    await asyncio.wait_for(leaving, 30)
    assert stream.outcome is Outcome.COMPLETE
    assert len(node.ownership) == 0


@pytest.mark.parametrize("patience", [0.0, 0.1])
async def test_idle_sessions_do_not_take_the_time_of_running_answers(node: ToyNode, patience: float) -> None:
    """These get their end at the bound, though the database does not respond."""
    await node.ownership.owner("idle")
    stream = node.stream()
    node.backend.generations[0].say("so")
    await until(lambda: stream.tokens)
    log = node.estate.logs["s"]
    node.estate.disk.clear()
    leaving = asyncio.ensure_future(departure(node).close(patience=patience))
    await asyncio.wait_for(stream.ended, 30)
    assert stream.outcome is Outcome.INTERRUPTED
    assert [entry.name for entry in log.read(0).entries] == ["start", "status", "status", "token", "end"]
    node.estate.disk.set()
    await asyncio.wait_for(leaving, 30)
    assert len(node.ownership) == 0
