"""A log without a fence, and a viewer that can lose its wake-up."""

from __future__ import annotations

import asyncio

from app.chat.ports import Kind
from app.log.entries import Event
from app.log.memory_log import MemoryLog
from app.web.events.viewer import Viewer
from tests.schedules.plain import PlainRegistry


class UnfencedLog(MemoryLog):
    """Takes an append from anybody at any time."""

    async def append(self, fence: int, event: Event) -> None:
        await super().append(max(fence, self._fence), event)

    def append_text(self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]) -> None:
        super().append_text(max(fence, self._fence), kind, stream_id, position, texts)


class AppendsWithoutFence(PlainRegistry):
    """A good registry on a log without a fence."""

    new_log = UnfencedLog


class LosesWakeUps(Viewer):
    """Awaits between the read that found nothing and listening: what is appended meanwhile wakes nobody."""

    async def _follow(self) -> None:
        await asyncio.sleep(0)
        await super()._follow()
