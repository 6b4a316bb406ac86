"""A page in a few lines: what a browser makes of the page's events, and what it must come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from tests.support.client import Client
from tests.support.sse import Event


def units(text: str) -> int:
    """Count as a browser does."""
    return len(text.encode("utf-16-le")) // 2


def without(text: str, count: int) -> str:
    """Take so many UTF-16 code units from the front."""
    return text.encode("utf-16-le")[2 * count :].decode("utf-16-le")


class ShownAnswer:
    """The blocks of an answer, and the text after them."""

    def __init__(self) -> None:
        self.blocks: dict[int, str] = {}
        self.closed = 0  # code units that the blocks cover
        self.text = ""  # all of it, as far as it came

    def take(self, event: Event) -> None:
        """Apply an event."""
        data = event.data
        if event.name == "token":
            self.text += data["text"]
        elif event.name == "block":
            self.closed = max(self.closed, data["end"])
            self.blocks[data["index"]] = data["html"]
        elif event.name == "tail":
            self.blocks = {index: html for index, html in self.blocks.items() if index < data["index"]}
            self.closed = data["closed"]
            assert without(self.text, self.closed) == data["text"]

    @property
    def tail(self) -> str:
        """The text that no block covers; what blocks cover ahead of the text is swallowed as it comes."""
        return without(self.text, self.closed)

    @property
    def html(self) -> list[str]:
        """The blocks in their order, with none missing."""
        assert list(self.blocks) == sorted(self.blocks)
        assert sorted(self.blocks) == list(range(len(self.blocks)))
        return [self.blocks[index] for index in sorted(self.blocks)]


class Page:
    """Shows sessions from events, each from a snapshot on."""

    def __init__(self) -> None:
        self.answers: dict[str, ShownAnswer] = {}  # by message
        self.cursors: dict[str, str] = {}  # by session
        self.ended: list[str] = []
        self._messages: dict[str, str] = {}  # by stream

    def load(self, snapshot: dict[str, Any]) -> None:
        """Show what a snapshot says, and nothing else."""
        self.cursors[snapshot["session_id"]] = snapshot["cursor"]
        for message in snapshot["messages"]:
            if message["role"] == "assistant":
                answer = self.answers[message["message_id"]] = ShownAnswer()
                answer.blocks = dict(enumerate(message["blocks"]))
                answer.closed, answer.text = message["end"], message["content"]
                self._messages[message["stream_id"]] = message["message_id"]

    def take(self, events: Iterable[Event]) -> None:
        """Apply events."""
        for event in events:
            if event.had_id:
                assert event.id is not None
                session_id, _, cursor = event.id.partition("/")
                self.cursors[session_id] = cursor
            if event.name == "start":
                self._messages[event.data["stream_id"]] = event.data["message_id"]
                self.answers.setdefault(event.data["message_id"], ShownAnswer())
            elif event.name == "end":
                self.ended.append(event.data["stream_id"])
            elif event.name in ("token", "block", "tail"):
                self.answers[self._messages[event.data["stream_id"]]].take(event)

    def path(self) -> str:
        """Return where the events go on."""
        return "/events?" + urlencode(
            [("watch", f"{session_id}:{cursor}") for session_id, cursor in self.cursors.items()]
        )


async def snapshot(client: Client, session_id: str = "s1") -> dict[str, Any]:
    """Return a session as a page loads it."""
    found = await client.get(f"/sessions/{session_id}/snapshot")
    assert found["http"] == 200
    return found
