"""A browser's tab in virtual time: the product's own viewer, writing to a transport that the explorer can fill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from aiohttp import HttpVersion10

from app.streams.session import Session
from app.web.app_keys import GRANT, OPEN_STREAMS, OWNER, REGISTRY, VIEWERS
from app.web.events.channels import Channel, Channels
from app.web.events.heartbeat import HasHeartbeat, HeartbeatTimer
from app.web.events.measures import ViewerMeasures
from app.web.events.open_streams import OpenStreams
from app.web.events.push import BUFFER_BYTES
from app.web.events.response import EventStream
from app.web.events.viewer import Viewer
from tests.schedules.events import Logged, parse

ViewerType = type[Viewer]
Complain = Callable[[int, str], None]


class StillPulse:
    """A `HeartbeatTimer` that beats when told, not every second: its timer would be most of what is explored."""

    def __init__(self) -> None:
        self.now = 0
        self.beating: list[HasHeartbeat] = []

    def add(self, beating: HasHeartbeat) -> None:
        """See `HeartbeatTimer`."""
        self.beating.append(beating)

    def discard(self, beating: HasHeartbeat) -> None:
        """See `HeartbeatTimer`."""
        if beating in self.beating:
            self.beating.remove(beating)


def _nothing(_: object) -> None:
    """Nobody takes a grant back."""


class Tab:
    """Is request, response, transport, protocol and writer at once, as far as a viewer uses them."""

    version = HttpVersion10  # not chunked: what is written is what the tab parses
    passing = staticmethod(EventStream.passing)
    farewell = staticmethod(EventStream.farewell)
    method = "GET"
    app = {  # noqa: RUF012 - shared by all
        REGISTRY: SimpleNamespace(draining=False),
        VIEWERS: ViewerMeasures(),
        OPEN_STREAMS: OpenStreams(1000),
    }

    def __init__(self, name: str, session: Session, model: list[Logged], complain: Complain) -> None:
        self.name = name
        self.session = session
        self.transport = self.protocol = self
        self.writing_paused = False
        self.left = False
        self.reset = False
        self.over = False  # the response has ended by itself
        self.task: asyncio.Task[Any] | None = None
        self.stream_id: str | None = None
        self.seq = 0
        self._model = model
        self._complain = complain
        self._room = asyncio.Event()
        self._room.set()
        self._pulse = StillPulse()

    def __getitem__(self, key: object) -> Any:
        """A request has an owner, and a grant, which is never taken back here."""
        return {OWNER: "local", GRANT: SimpleNamespace(hold=_nothing, release=_nothing)}[key]

    def __contains__(self, key: object) -> bool:
        """No other node has passed the request on."""
        return False

    def __repr__(self) -> str:
        return f"<Tab {self.name} at={self.seq}{' stalled' if self.writing_paused else ''}>"

    async def watch(
        self, viewer: ViewerType, channels: Channels[Channel], after: int, stream_id: str | None
    ) -> None:
        """Serve this tab from a cursor on."""
        self.seq, self.stream_id = after, stream_id
        serving = viewer(cast("Any", self), cast("HeartbeatTimer", self._pulse), "")
        serving.watch(self.session, channels.join(self.session, self), after, stream_id)
        try:
            await serving.serve(cast("Any", self))
        finally:
            channels.leave(self.session, self)

    # ---- what the explorer does ------------------------------------------------------------------------------

    def stall(self) -> None:
        """Read no more; the transport is full from now on."""
        self.writing_paused = True
        self._room.clear()

    def resume(self) -> None:
        """Read on."""
        self.writing_paused = False
        self._room.set()

    def leave(self, *, cancelled: bool) -> None:
        """Close the connection; the server's handler is cancelled, or finds out at the next tick."""
        self.left = True
        self.resume()
        if cancelled and self.task is not None:
            self.task.cancel()
        for beating in tuple(self._pulse.beating):
            beating.beat()

    # ---- what the viewer uses --------------------------------------------------------------------------------

    prepared = False
    opening = b""

    async def prepare(self, request: object) -> Tab:
        self.write(self.opening)
        return self

    async def write_eof(self, data: bytes = b"") -> None:
        self.write(data)
        self.over = True

    async def drain(self) -> None:
        await self._room.wait()

    def set_write_buffer_limits(self, high: int) -> None:
        """The explorer says when it is full."""

    def get_write_buffer_size(self) -> int:
        return 2 * BUFFER_BYTES if self.writing_paused else 0

    def is_closing(self) -> bool:
        return self.left

    def abort(self) -> None:
        self.left = True

    def write(self, data: bytes) -> None:
        for frame in data.split(b"\n\n")[:-1]:
            self._show(*parse(frame))

    # ---- invariant 9 -----------------------------------------------------------------------------------------

    def _show(self, name: str, seq: int, data: dict[str, Any]) -> None:
        if name == "heartbeat":
            return
        if name == "reset":
            self.reset = True
            return
        texts = []
        for _ in range(data.get("count", 1)):
            event = self.next_event()
            if event is None or (event.name, event.stream_id) != (name, data["stream_id"]):
                self._complain(9, f"{self.name} saw {name} {seq} where {event} was next")
                return
            self.seq = event.seq
            texts.append(event.text)
        if self.seq != seq or "".join(texts) != data.get("text", ""):
            self._complain(9, f"{self.name} saw {msgspec.json.encode(data).decode()} for {texts}")

    def next_event(self) -> Logged | None:
        """Return the next event that this tab has to see, if it was appended already."""
        for event in self._model[self.seq :]:
            if self.stream_id in (None, event.stream_id):
                return event
        return None

    def at_the_end(self) -> None:
        """Everything is over, nobody stalls: a tab that did not leave has seen it all."""
        missed = self.next_event()
        shown = self.stream_id is not None and self.seq and self._model[self.seq - 1].name == "end"
        if shown and not (self.over or self.left):
            self._complain(8, f"{self.name} saw the end of its stream, and is still served")
        if missed is not None and not (self.left or self.reset):
            self._complain(9, f"{self.name} never saw {missed.name} {missed.seq}: it is still at {self.seq}")
