"""A viewer that breaks off at any event and comes back sees, byte for byte, what one sees that never broke off."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from app.chat.ports import Kind
from tests.support.puppet import PuppetGeneration
from tests.support.raw_viewer import Frame, RawViewer
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage

pytestmark = pytest.mark.slow

ANSWERS = 100
AT_ONCE = 3
TEXTS = (b"token", b"reasoning")
WORDS = (" river", "\n\n", " 水🌊", " a\rb", "\0", "\u2028", ' "', "\\", " wheel", "ü", "x" * 600, "data: \n")


class Answer:
    """One answer, and the viewers that look at it while it is written."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = stage
        self._random = random.Random(number)
        self._session_id = f"s{number}"
        self._whole_session = bool(number % 2)  # whether they look at the session, or at the stream alone
        self._path = ""
        self._generation: PuppetGeneration | None = None
        self._texts: list[tuple[Kind, str]] = [
            *(("reasoning", self._random.choice(WORDS)) for _ in range(self._random.randrange(3))),
            *(("token", self._random.choice(WORDS)) for _ in range(self._random.randrange(1, 6))),
        ]

    async def check(self) -> int:
        """Break off behind each of its events, and come back; return how often that was."""
        registered = await self._stage.client.post(self._session_id, self._session_id)
        whole = f"/api/sessions/{self._session_id}/events"
        self._path = whole if self._whole_session else str(registered["events_url"])
        count = len(self._texts) + 4  # start, two statuses, end
        viewers = [asyncio.create_task(self._watch(breaks)) for breaks in range(count)]
        session = self._stage.registry.session(self._session_id)
        await until(lambda: session.viewers == count)
        await self._speak()
        unbroken, *broken = await asyncio.gather(*viewers)
        assert len(unbroken) == count
        for frames in broken:
            assert merged(frames) == merged(unbroken)
        return len(broken)

    async def _speak(self) -> None:
        def opened() -> PuppetGeneration | None:
            found = (g for g in self._stage.puppet.generations if self._is_ours(g) and g.opened.is_set())
            return next(found, None)

        await until(opened)
        generation = opened()
        assert generation is not None
        for kind, text in self._texts:
            generation.say(text, kind=kind)
            for _ in range(self._random.randrange(12)):
                await asyncio.sleep(0)
        generation.finish()

    def _is_ours(self, generation: PuppetGeneration) -> bool:
        return generation.request.messages[-1].content == self._session_id

    async def _watch(self, breaks: int) -> list[Frame]:
        """Read to the end, broken off once behind so many events, 0 being never."""
        seen = await self._read(None, breaks)
        if breaks:
            seen += await self._read(seen[-1].id, 0)
        return seen

    async def _read(self, cursor: bytes | None, most: int) -> list[Frame]:
        by_query = cursor is not None and self._random.random() < 0.5
        path = f"{self._path}?after={cursor.decode()}" if by_query and cursor else self._path
        seen: list[Frame] = []
        async with RawViewer(self._stage.live.url, path, cursor=None if by_query else cursor) as response:
            assert await response.status() == 200, response.head
            while not most or len(seen) < most:
                frame = await response.frame()
                assert frame is not None, seen
                seen.append(frame)
                if frame.name == b"end":
                    break
        return seen


def merged(frames: Iterable[Frame]) -> list[Frame]:
    """Return the frames with neighbouring texts as one, as a log may send them. They have to follow each other."""
    whole: list[Frame] = []
    for frame in frames:
        last = whole[-1] if whole else None
        if last is not None and last.name == frame.name and frame.name in TEXTS:
            whole[-1] = _joined(last, frame)
        else:
            whole.append(frame)
    return whole


def _joined(first: Frame, second: Frame) -> Frame:
    one, other = json.loads(first.data), json.loads(second.data)
    assert second.seq == first.seq + other["count"], (first, second)
    assert other["position"] == one["position"] + one["count"], (first, second)
    data = {**other, "position": one["position"], "count": one["count"] + other["count"]}
    data["text"] = one["text"] + other["text"]
    return Frame(second.id, first.name, _bytes(data))


def _bytes(data: object) -> bytes:
    """JSON as the server writes it."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


async def test_a_viewer_that_breaks_off_anywhere_sees_everything(tmp_path: Path) -> None:
    """A hundred answers, three at a time, broken off behind each single event, and resumed by header or by query."""
    positions: list[int] = []
    async with on_stage(tmp_path) as stage:
        numbers = iter(range(ANSWERS))

        async def answers() -> None:
            positions.extend([await Answer(stage, number).check() for number in numbers])

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(answers())
        await stage.settled()
    assert len(positions) == ANSWERS
    assert sum(positions) > 6 * ANSWERS
