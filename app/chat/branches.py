"""A conversation as a tree. Each message has a parent; messages with the same parent are branches.

All functions take messages oldest first, so a parent comes before its children. A message whose parent is missing is
a root.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from app.chat.errors import MessageNotFound
from app.chat.ports import Role
from app.chat.records import Message


class Node(Protocol):
    """The part of a message that determines its place in the tree."""

    @property
    def message_id(self) -> str:
        """The id of the message."""

    @property
    def parent_id(self) -> str | None:
        """The id of the message that it follows; `None` for a root."""

    @property
    def role(self) -> Role:
        """The author of the message."""


def path(messages: Iterable[Message], message_id: str) -> list[Message]:
    """Return the messages from the root to this one, inclusive. Raises `MessageNotFound`."""
    known: dict[str | None, Message] = {}
    before: dict[str, Message | None] = {}
    for message in messages:
        before[message.message_id] = known.get(message.parent_id)
        known[message.message_id] = message
    if message_id not in known:
        raise MessageNotFound(f"Message {message_id} doesn't exist in this chat.")
    found: list[Message] = []
    step: Message | None = known[message_id]
    while step is not None:
        found.append(step)
        step = before[step.message_id]
    found.reverse()
    return found


def branch(messages: Sequence[Message], through: str | None = None) -> list[Message]:
    """Return the path to the newest message, or to the newest descendant of `through`.

    Raises `MessageNotFound` if there is no message `through`.
    """
    if not messages:
        return [] if through is None else path(messages, through)
    newest = messages[-1].message_id
    if through is not None:
        newest, after = through, {through}
        for message in messages:
            if message.parent_id in after:
                newest = message.message_id
                after.add(newest)
    return path(messages, newest)


def siblings(messages: Iterable[Message]) -> dict[str, list[str]]:
    """Return for each message id the ids with the same parent, oldest first, including itself."""
    by_parent: dict[str | None, list[str]] = {}
    families: dict[str, list[str]] = {}
    for message in messages:
        parent = message.parent_id if message.parent_id in families else None
        family = by_parent.setdefault(parent, [])
        family.append(message.message_id)
        families[message.message_id] = family
    return families


def moved(nodes: Iterable[Node], gone: Collection[str]) -> dict[str, str | None]:
    """Return the new parent of each remaining message whose parent is in `gone`, by message id.

    It is the parent of the removed message. If an answer is removed but its prompt stays, an older answer to the same
    prompt is preferred: a prompt must not follow a prompt.
    """
    heirs: dict[str | None, str | None] = {}  # the replacement of each removed message
    answers: dict[str | None, str] = {}  # the latest remaining answer to each prompt
    homes: dict[str, str | None] = {}
    for node in nodes:
        parent = heirs.get(node.parent_id, node.parent_id)
        if node.message_id in gone:
            left = answers.get(parent) if node.role == "assistant" and node.parent_id == parent else None
            heirs[node.message_id] = left or parent
            continue
        if parent != node.parent_id:
            homes[node.message_id] = parent
        if node.role == "assistant":
            answers[parent] = node.message_id
    return homes


def without(messages: Iterable[Message], gone: Collection[str]) -> list[Message]:
    """Return the remaining messages with their new parents (see `moved`). Modifies their `parent_id` in place."""
    everything = list(messages)
    homes = moved(everything, gone)
    left = [message for message in everything if message.message_id not in gone]
    for message in left:
        message.parent_id = homes.get(message.message_id, message.parent_id)
    return left
