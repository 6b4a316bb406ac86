"""Event streams of sessions that do not exist yet. `tests/nodes/test_waiting.py` has those that begin elsewhere."""

from __future__ import annotations

from tests.doubles.owners import OwnerTable
from tests.support.waiting import until
from tests.web.nodes.stage import StagedNode
from tests.web.nodes.test_page_events import until_event

Pair = tuple[StagedNode, StagedNode]


async def test_waiting_takes_no_lease(pair: Pair, table: OwnerTable) -> None:
    """On whichever node, for however many ids."""
    a, b = pair
    async with (
        a.client.events("/api/sessions/s1/events") as first,
        b.client.events("/api/sessions/s2/events"),
        a.client.events("/events?watch=s3:new&watch=s4:new") as page,
    ):
        await anext(first)  # such as a heartbeat: it is held open
        await anext(page)
        assert not table.leases
    assert not table.leases


async def test_it_begins_here(pair: Pair, table: OwnerTable) -> None:
    """The first prompt takes the session, and who waits sees it."""
    a, _ = pair
    async with a.client.events("/api/sessions/s1/events") as events:
        await until(lambda: a.registry.arrivals.waiting == 1)
        await a.client.post("s1", "Hello", model="scripted/short")
        names = [event.name for event in await until_event(events, "end") if event.had_id]
    assert names[0] == "start"
    assert table.leases["s1"].node == a.node


async def test_a_client_that_leaves(pair: Pair, table: OwnerTable) -> None:
    """Nobody waits any more, and nothing is asked of anybody."""
    a, b = pair
    async with a.client.events("/api/sessions/s1/events"):
        await until(lambda: a.registry.arrivals.waiting == 1)
    await until(lambda: a.registry.arrivals.waiting == 0)
    await b.client.ask("s1", "Hello", model="scripted/short")
    assert a.nodes.forwarded == 0
