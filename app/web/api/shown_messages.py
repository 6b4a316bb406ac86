"""Messages as clients see them: in snapshots of the API, and on pages."""

from __future__ import annotations

from app.chat.records import Message
from app.chat.states import Status


class ShownMessage(Message, kw_only=True):
    """A message in a snapshot. For an answer in progress: the text so far and its status."""

    siblings: list[str]  # the ids of all messages with the same parent, oldest first, including this one
    status: Status | None = None
    note: str = ""  # what the model is doing, shown instead of "Thinking…"
