"""A conversation as a tree: branches, siblings, and what becomes of those that followed a dropped message."""

from __future__ import annotations

import pytest

from app.chat.branches import branch, moved, path, siblings, without
from app.chat.errors import MessageNotFound
from app.chat.ports import Role
from app.chat.records import Message


def tree(*branches: str) -> list[Message]:
    """Return messages, `p1 a1 p2 a2` a branch, each once; the first letter tells prompts from answers."""
    messages: dict[str, Message] = {}
    for names in branches:
        parent: str | None = None
        for name in names.split():
            role: Role = "user" if name.startswith("p") else "assistant"
            messages.setdefault(
                name,
                Message(message_id=name, parent_id=parent, role=role, content=name, created_at="2026"),
            )
            parent = name
    return list(messages.values())


def names(messages: list[Message]) -> str:
    """Return their names."""
    return " ".join(message.message_id for message in messages)


BRANCHED = tree("p1 a1 p2 a2", "p1 b1", "p1 a1 q2 c2", "p1 a1 p2 b2", "p9 a9")


def test_the_shown_branch_is_that_of_the_newest_message() -> None:
    """Nothing else is remembered of where somebody was."""
    assert names(branch(BRANCHED)) == "p9 a9"
    assert names(branch(BRANCHED[:-2])) == "p1 a1 p2 b2"
    assert branch([]) == []


@pytest.mark.parametrize(
    ("through", "shown"),
    [
        ("p1", "p1 a1 p2 b2"),
        ("b1", "p1 b1"),
        ("q2", "p1 a1 q2 c2"),
        ("a2", "p1 a1 p2 a2"),
        ("a1", "p1 a1 p2 b2"),
    ],
)
def test_a_branch_goes_through_a_message_to_its_newest_leaf(through: str, shown: str) -> None:
    """Down from it, the newest message decides."""
    assert names(branch(BRANCHED, through)) == shown


def test_an_unknown_message_has_no_branch() -> None:
    """Also in an empty session."""
    for messages in (BRANCHED, []):
        with pytest.raises(MessageNotFound):
            branch(messages, "nothing")


def test_the_path_ends_at_its_message() -> None:
    """What comes after it is not on it."""
    assert names(path(BRANCHED, "p2")) == "p1 a1 p2"


def test_siblings_follow_the_same_message() -> None:
    """Oldest first, itself among them; the first prompts are siblings, too."""
    families = siblings(BRANCHED)
    assert families["p1"] == families["p9"] == ["p1", "p9"]
    assert families["b1"] == ["a1", "b1"]
    assert families["a2"] == ["a2", "b2"]
    assert families["p2"] == ["p2", "q2"]


def test_a_message_that_follows_nothing_known_begins_a_branch() -> None:
    """A gap, or a message that claims to follow a later one, takes nothing else away."""
    messages = tree("p1 a1 p2 a2")
    messages[2].parent_id = "lost"
    assert names(branch(messages)) == "p2 a2"
    assert siblings(messages)["p2"] == ["p1", "p2"]
    messages[2].parent_id = "a2"
    assert names(branch(messages)) == "p2 a2"


def test_what_followed_a_dropped_exchange_follows_what_that_followed() -> None:
    """Also where several in a row are dropped."""
    messages = tree("p1 a1 p2 a2 p3 a3 p4 a4")
    assert moved(messages, {"p2", "a2"}) == {"p3": "a1"}
    assert moved(messages, {"p2", "a2", "p3", "a3"}) == {"p4": "a1"}
    assert moved(messages, {"p1", "a1"}) == {"p2": None}
    assert names(branch(without(messages, {"p2", "a2"}))) == "p1 a1 p3 a3 p4 a4"


def test_what_followed_a_dropped_regeneration_follows_the_answer_before() -> None:
    """A prompt does not come to follow a prompt."""
    messages = tree("p1 a1", "p1 b1", "p1 c1 p2 a2")
    assert moved(messages, {"c1"}) == {"p2": "b1"}
    assert moved(messages, {"b1", "c1"}) == {"p2": "a1"}
    assert moved(messages, {"p1", "a1", "b1", "c1"}) == {"p2": None}
