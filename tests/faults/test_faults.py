"""Faults of model servers: how an answer ends under each of them, and that nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.streams.session import Session
from tests.faults.acts import Act
from tests.faults.cell import SUPERSEDE_TIMEOUT, Cell
from tests.faults.expected import AGENTS, DOUBLES, EMBEDDED, SCRIPTED, Expected
from tests.faults.footprint import Footprint, back_to
from tests.faults.scenes import AgentScene, DoubleScene, Scene, ScriptedScene, scene
from tests.faults.table import FINDING, Record
from tests.support.client import Client
from tests.support.server import LiveServer, serve
from tests.support.waiting import until, until_told

BACKENDS = {"ollama": DOUBLES, "openai": DOUBLES, "scripted": SCRIPTED, "agent": AGENTS, "embedded": EMBEDDED}
CASES = [(backend, expected) for backend, rows in BACKENDS.items() for expected in rows]
TOGETHER = [act for act in Act if act is not Act.SHUTDOWN]


def cancelling(backend: str, expected: Expected) -> bool:
    """Whether handlers are cancelled when their client leaves: every fault of a double is met both ways."""
    rows = BACKENDS[backend]
    return (rows.index(expected) + list(BACKENDS).index(backend)) % 2 == 0


@pytest.mark.parametrize(
    ("backend", "expected"), CASES, ids=[f"{backend}-{expected.fault}" for backend, expected in CASES]
)
async def test_a_fault(backend: str, expected: Expected, tmp_path: Path, record_property: Record) -> None:
    """Whatever is done meanwhile, the answer ends as the table says, the next one comes, and nothing is left."""
    before = Footprint.now()
    async with scene(backend, expected) as stage, AsyncExitStack() as stack:
        settings: dict[str, Any] = {**expected.patience, **stage.settings}
        serving = serve(
            tmp_path,
            handler_cancellation=cancelling(backend, expected),
            extra=stage.extra,
            supersede_timeout=SUPERSEDE_TIMEOUT,
            viewer_grace=0.3,
            heartbeat=1.5,  # so that a viewer's leaving is noticed within a tenth of a second
            **settings,
        )
        live = await stack.enter_async_context(serving)
        async with Client(live.url) as client:
            await _warm_up(stage, client)
            for position in range(0, len(TOGETHER), stage.together):
                await _play(stage, TOGETHER[position : position + stage.together], client, record_property)
            await _nothing_left_inside(stage, live)
            await _shut_down(stage, client, stack, record_property)
    await back_to(before)


async def _warm_up(stage: Scene, client: Client) -> None:
    """Everything works before the fault: so what is seen comes of it."""
    events = await client.ask("before", **stage.sound("before"))
    assert events[-1].data["outcome"] == "complete"


async def _play(stage: Scene, acts: Sequence[Act], client: Client, record: Record) -> None:
    """Play some cells at once."""
    await stage.prepare()
    cells = [Cell(stage, act, client) for act in acts]
    results = await asyncio.gather(*(cell.play() for cell in cells), return_exceptions=True)
    errors = [result for result in results if isinstance(result, Exception)]
    for cell, result in zip(cells, results, strict=True):
        _enter(record, cell, right=result is None)
    if errors:
        raise ExceptionGroup(stage.expected.fault, errors)


async def _nothing_left_inside(stage: Scene, live: LiveServer) -> None:
    """No stream, viewer or listener in the server, no generation at the model server, and none overlapped."""
    registry = live.registry

    def is_quiet() -> bool:
        now = registry.statistics()
        return (now.active, now.queued, now.viewers, now.zombies) == (0, 0, 0, 0)

    await until(is_quiet)
    for act in TOGETHER:
        session = registry.find(f"{stage.backend}-{stage.expected.fault}-{act.name}".lower())
        assert session is not None
        assert session.log.listeners == 0
        await _idle(session)

    async def is_idle() -> bool:
        return not await stage.open()

    await until_told(is_idle)
    if stage.overlaps_are_ours and isinstance(stage, DoubleScene | AgentScene):
        assert stage.double.ledger.overlaps == []
    if stage.overlaps_are_ours and isinstance(stage, ScriptedScene):
        assert stage.scripted.ledger.overlaps == []


async def _idle(session: Session) -> None:
    await until(lambda: session.idle)


async def _shut_down(stage: Scene, client: Client, stack: AsyncExitStack, record: Record) -> None:
    """The server ends in the middle of an answer: its viewers see the end, and their connections close."""
    await stage.prepare()
    cell = Cell(stage, Act.SHUTDOWN, client)
    registered = await cell.ask(stage.faulty(cell.session))
    async with cell.watch(registered["cursor"]) as watch:
        await cell.under_way(watch)
        await stage.strike()
        await stack.aclose()
        await watch.closed()
        try:
            cell.right(watch.of(registered["stream_id"])[-1])
        except AssertionError:
            _enter(record, cell, right=False)
            raise
    _enter(record, cell, right=True)


def _enter(record: Record, cell: Cell, *, right: bool) -> None:
    seen = f"{cell.seen} {'✓' if right else '✗'}".strip()
    record(FINDING, (cell.scene.backend, cell.scene.expected.fault, cell.act.value, seen))
