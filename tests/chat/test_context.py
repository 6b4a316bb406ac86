"""What the model gets to read."""

from __future__ import annotations

from app.chat.context import MARKS, as_read_by_model, assemble, estimate
from app.chat.ports import ChatMessage, Options, Role
from app.chat.records import Message
from app.chat.states import Outcome


def message(role: Role, content: str, outcome: Outcome | None = None) -> Message:
    """Return a message of a conversation."""
    return Message(
        message_id="m", role=role, content=content, outcome=outcome, created_at="2026-01-01T00:00:00Z"
    )


def test_an_answer_that_broke_off_says_so() -> None:
    """Every outcome but a complete one leaves its mark, also where nothing had come yet."""
    for outcome in Outcome:
        read = as_read_by_model(message("assistant", "half", outcome)).content
        assert read == ("half" if outcome is Outcome.COMPLETE else f"half\n\n{MARKS[outcome]}")
    assert as_read_by_model(message("assistant", "", Outcome.STOPPED)).content == MARKS[Outcome.STOPPED]


def test_the_latest_exchanges_go_and_the_oldest_are_trimmed() -> None:
    """What is kept fits the context, is the newest, and begins with a question."""
    earlier = [
        message(role, f"{number}: {'word ' * 60}", Outcome.COMPLETE if role == "assistant" else None)
        for number in range(20)
        for role in ("user", "assistant")
    ]
    context = 2000
    read = assemble(earlier, message("user", "now"), Options(), context)
    assert read[-1] == ChatMessage("user", "now")
    assert read[0].role == "user"
    assert read[-2].content == earlier[-1].content
    assert sum(map(estimate, read)) <= context
    assert 2 < len(read) < len(earlier)


def test_the_system_prompt_and_the_prompt_always_go() -> None:
    """Even where nothing else fits."""
    prompt = message("user", "long " * 5000)
    read = assemble([message("user", "old")], prompt, Options(system="Be brief."), 1000)
    assert [m.role for m in read] == ["system", "user"]
    assert read[1].content == prompt.content


def test_room_is_kept_for_the_answer() -> None:
    """A larger `max_tokens` leaves less room for earlier messages."""
    roles: list[Role] = ["user", "assistant"] * 15
    earlier = [message(role, "x" * 300) for role in roles]
    small = assemble(earlier, message("user", "now"), Options(max_tokens=10), 2000)
    large = assemble(earlier, message("user", "now"), Options(max_tokens=1000), 2000)
    assert len(large) < len(small)
