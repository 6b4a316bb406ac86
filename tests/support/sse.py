"""An SSE reader for tests, after WHATWG HTML, section 9.2.6. It is not the code that it tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp


class Event(NamedTuple):
    """One dispatched event."""

    id: str | None  # the last event id at its dispatch, as EventSource has it
    name: str
    data: dict[str, Any]
    had_id: bool = False  # whether this frame carried an id of its own

    @property
    def seq(self) -> int:
        """The sequence number in its id."""
        assert self.id is not None
        return int(self.id.split("-")[1])


class EventReader:
    """Makes events of lines."""

    def __init__(self) -> None:
        self._last_id: str | None = None
        self._data: list[str] = []
        self._name, self._had_id = "", False

    def take(self, line: str) -> Event | None:
        """Read one line, without its end. Returns the event that it dispatches, if any."""
        if not line:
            return self._dispatched()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id":
            self._last_id, self._had_id = value, True
        return None

    def _dispatched(self) -> Event | None:
        event = None
        if self._data:
            data = json.loads("\n".join(self._data))
            event = Event(self._last_id, self._name or "message", data, self._had_id)
        self._name, self._data, self._had_id = "", [], False
        return event


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of a response until it ends."""
    reader = EventReader()
    async for raw in response.content:
        if event := reader.take(raw.decode().rstrip("\n").rstrip("\r")):
            yield event


def events_in(body: bytes) -> list[Event]:
    """Return the complete events of a body, or of its beginning. Its lines end with LF."""
    reader = EventReader()
    whole = body[: body.rfind(b"\n") + 1].decode()
    return [event for line in whole.split("\n")[:-1] if (event := reader.take(line))]


def text_of(events: list[Event], kind: str = "token") -> str:
    """Return the joined text of the token events, after checking that positions neither skip nor repeat."""
    expected, parts = 0, []
    for event in events:
        if event.name == kind:
            assert event.data["position"] == expected, f"{event} should begin at {expected}"
            expected += event.data["count"]
            parts.append(event.data["text"])
    return "".join(parts)
