"""A replay yields: however much one viewer has to read, the tokens of others go on in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.log.memory_log import MemoryLog
from app.log.session_log import READ_BYTES, Reading
from tests.support.raw_viewer import RawViewer
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage

TEXT = "x" * 4000
PIECES = (
    800  # 3 MB: less than a kernel takes for a connection that reads, so nothing else makes a viewer wait
)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in order: reads of logs, and whatever else a test notes."""
    steps: list[str] = []
    read = MemoryLog.read

    def noted(log: MemoryLog, after: int, stream_id: str | None = None) -> Reading:
        steps.append("read")
        return read(log, after, stream_id)

    monkeypatch.setattr(MemoryLog, "read", noted)
    return steps


async def speak(stage: Stage) -> None:
    """Say a word whenever the loop comes round."""
    generation = await stage.opened(2)
    while True:
        generation.say(" word")
        await asyncio.sleep(0)


async def test_a_long_replay_does_not_hold_up_others(tmp_path: Path, steps: list[str]) -> None:
    """Between two of its reads, which are bounded in bytes, everybody else has a turn."""
    async with on_stage(tmp_path, log_bytes=2**24, max_answer_bytes=2**24) as stage:
        long = await stage.answer("long", "hello", *[TEXT] * PIECES)
        await stage.client.post("live", "hello")
        stage.registry.session("live").log.listen(lambda entry: steps.append(entry.name))
        speaking = asyncio.create_task(speak(stage))
        await until(lambda: "token" in steps)
        steps.clear()
        async with RawViewer(stage.live.url, f"/api/streams/{long}/events") as response:
            while (frame := await response.frame()) is not None and frame.name != b"end":
                pass
        speaking.cancel()
        await asyncio.wait({speaking})
    runs = "".join("r" if step == "read" else "." for step in steps).split(".")
    assert steps.count("read") >= len(TEXT) * PIECES / READ_BYTES / 2
    assert max(map(len, runs)) <= 2
