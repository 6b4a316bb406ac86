"""A conversation as a tree: every message follows another one, and those that follow the same one are branches.

Messages are given oldest first, and so a message stands behind the one that it follows. One that follows nothing that
is there begins a branch of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from app.chat.errors import MessageNotFound
from app.chat.ports import Role
from app.chat.records import Message


class Node(Protocol):
    """As much of a message as its place in the tree takes."""

    @property
    def message_id(self) -> str:
        """Its name."""
        ...

    @property
    def parent_id(self) -> str | None:
        """The message that it follows."""
        ...

    @property
    def role(self) -> Role:
        """Who says it."""
        ...


def path(messages: Iterable[Message], message_id: str) -> list[Message]:
    """Return the messages from the beginning to this one. Raises `MessageNotFound`."""
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
    """Return the branch of the newest message, or of the newest one that comes after `through`.

    Raises `MessageNotFound`.
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
    """Return for each message those that follow the same one, oldest first, itself among them."""
    by_parent: dict[str | None, list[str]] = {}
    families: dict[str, list[str]] = {}
    for message in messages:
        parent = message.parent_id if message.parent_id in families else None
        family = by_parent.setdefault(parent, [])
        family.append(message.message_id)
        families[message.message_id] = family
    return families


def moved(nodes: Iterable[Node], gone: Collection[str]) -> dict[str, str | None]:
    """Return where messages belong that follow one which is `gone`, by their ids.

    They follow what that one followed. Of an answer that is gone while its prompt stays, an older answer to the same
    prompt takes the place: a prompt does not follow a prompt.
    """
    heirs: dict[str | None, str | None] = {}  # of those that are gone
    answers: dict[str | None, str] = {}  # the last one to each prompt
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
    """Return the messages that are left, each where it belongs now. Changes their `parent_id`."""
    everything = list(messages)
    homes = moved(everything, gone)
    left = [message for message in everything if message.message_id not in gone]
    for message in left:
        message.parent_id = homes.get(message.message_id, message.parent_id)
    return left
