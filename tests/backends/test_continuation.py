"""The seam of a continued answer: no white space is doubled there, and none is lost."""

from __future__ import annotations

import pytest

from app.backends.http.continuation import Begun, Continuation
from app.chat.ports import ChatMessage, Delta, Request


def joined(begun: str, *pieces: str) -> str:
    """Return the whole answer, given what the model makes of its beginning."""
    joint = Continuation(begun)
    new = [delta for piece in pieces for delta in joint.join([Delta("token", [piece])])]
    assert all(text for delta in new for text in delta.texts), "an empty token is none"
    return begun + "".join(text for delta in new for text in delta.texts)


@pytest.mark.parametrize(
    ("begun", "pieces", "whole"),
    [
        ("The river", [" turns", " it"], "The river turns it"),
        ("The river ", [" turns", " it"], "The river turns it"),
        ("The river ", ["turns"], "The river turns"),
        ("The river ", [" ", "turns"], "The river turns"),
        ("One.\n", ["\n\n", "Two."], "One.\n\nTwo."),
        ("One.\n\n", ["\n", "\n", "Two."], "One.\n\nTwo."),
        ("def f():\n   ", ["\n", "    return"], "def f():\n    return"),
        ("def f():\n    ", ["\n\n    return"], "def f():\n    \n    return"),
        ("   ", ["Hi", "  there"], "   Hi  there"),
        ("", [" Hi"], " Hi"),
    ],
)
def test_the_seam(begun: str, pieces: list[str], whole: str) -> None:
    """What the model writes again of the white space there is dropped, and nothing else."""
    assert joined(begun, *pieces) == whole


def test_white_space_at_the_end_is_not_given_to_the_model() -> None:
    """And of an answer that is nothing else the model is given nothing."""
    asked = ChatMessage("user", "Go on.")
    begun = Begun.of(Request("m", [asked, ChatMessage("assistant", "One.\n\n")]))
    assert begun.messages == [asked, ChatMessage("assistant", "One.")]
    assert begun.continues
    assert Begun.of(Request("m", [asked, ChatMessage("assistant", " \n")]))[::2] == ([asked], False)
    assert Begun.of(Request("m", [asked])) == ([asked], None, False)


def test_reasoning_is_no_part_of_the_seam() -> None:
    """It passes, and the seam is still to come."""
    joint = Continuation("One ")
    deltas = [Delta("reasoning", [" hm"]), Delta("token", [" ", "two"])]
    assert joint.join(deltas) == [Delta("reasoning", [" hm"]), Delta("token", ["two"])]
