"""One session of the in-memory history."""

from __future__ import annotations

from app.chat.records import KnownKey, Message, SessionInfo


class MemorySession:
    """One session with its messages, idempotency keys and stream IDs."""

    def __init__(self, owner: str, info: SessionInfo) -> None:
        self.owner = owner
        self.info = info
        self.messages: list[Message] = []
        self.keys: dict[str, KnownKey] = {}
        self.streams: set[str] = set()

    def follow(self, message: Message) -> None:
        """Append a message. An unknown parent is replaced by the newest message."""
        there = [before.message_id for before in self.messages]
        if message.parent_id is not None and message.parent_id not in there:
            message.parent_id = there[-1] if there else None
        self.messages.append(message)

    def find(self, message_id: str) -> Message | None:
        """Return a message by its ID, `None` if there is none."""
        return next((message for message in self.messages if message.message_id == message_id), None)
