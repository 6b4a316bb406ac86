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


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of a response until it ends."""
    last_id: str | None = None
    data: list[str] = []
    name, had_id = "", False
    async for raw in response.content:
        line = raw.decode().rstrip("\n").rstrip("\r")
        if not line:
            if data:
                yield Event(last_id, name or "message", json.loads("\n".join(data)), had_id)
            name, data, had_id = "", [], False
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            last_id, had_id = value, True


def text_of(events: list[Event], kind: str = "token") -> str:
    """Return the joined text of the token events, after checking that positions neither skip nor repeat."""
    expected, parts = 0, []
    for event in events:
        if event.name == kind:
            assert event.data["position"] == expected, f"{event} should begin at {expected}"
            expected += event.data["count"]
            parts.append(event.data["text"])
    return "".join(parts)
