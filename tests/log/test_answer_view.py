"""A view folds the entries of a log as the reducer of the page does, which has the same cases."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.states import Outcome, Status
from app.log.answer_view import AnswerView
from app.log.entries import Begun, End, Entry, Prompt, Start, StatusChange
from tests.log.answer_cases import Case, cases

START = Start("s", "m", "b/m", Prompt("p", "hello"))


def entry(seq: int, name: str, data: dict[str, Any]) -> Entry:
    """Return an entry as a log has it."""
    stream_id = data.get("stream_id", "s")
    if name == "status":
        return Entry.of(seq, StatusChange(stream_id, Status(data["status"]), data.get("note", "")))
    if name == "end":
        return Entry.of(seq, end(stream_id, data["outcome"]))
    return Entry(
        seq, stream_id, name, None, data.get("text", ""), data.get("position", 0), data.get("count", 1)
    )


def end(stream_id: str, outcome: str) -> End:
    return End(
        stream_id=stream_id,
        outcome=Outcome(outcome),
        finish_reason=None,
        tokens=0,
        duration_ms=0,
        ttft_ms=None,
        upstream_closed=True,
        message_id="m",
    )


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_it_shows_what_the_entries_come_to(case: Case) -> None:
    """One after the other, from the start of a stream on."""
    (_, *others) = case.entries
    view = AnswerView(START, 1)
    for seq, (name, data) in enumerate(others, 2):
        view.take(entry(seq, name, data), 0.0)
    assert {
        "text": view.content,
        "reasoning": view.thoughts,
        "status": str(view.status),
        "note": view.note,
        "outcome": view.end and str(view.end.outcome),
        "torn": view.torn,
    } == case.shown


def test_what_an_answer_had_before_comes_first() -> None:
    """A stream that continues it counts its own pieces."""
    view = AnswerView(Start("s", "m", "b/m", Prompt("p", ""), continued=Begun("Hello", "hm")), 1)
    view.take(entry(2, "token", {"text": " world"}), 0.0)
    assert (view.content, view.thoughts, view.tokens) == ("Hello world", "hm", 1)


def test_it_tells_how_long_the_model_has_thought() -> None:
    """From the first piece of reasoning to the first of the answer, or until now."""
    view = AnswerView(START, 1)
    assert view.thought_ms(9.0) is None
    view.take(entry(2, "reasoning", {"text": "hm"}), 10.0)
    assert view.thought_ms(12.5) == 2500
    view.take(entry(3, "token", {"text": "yes"}), 13.0)
    assert view.thought_ms(60.0) == 3000
