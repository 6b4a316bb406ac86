"""A chat is never stuck: whatever its history holds, a model gets turns of user and assistant, none of them empty."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.chat.alternating import BEGINNING
from app.chat.contents import Image, Problem
from app.chat.context import EMPTY, MARKS, UNSEEN, assemble
from app.chat.ports import ChatMessage, Options, Role
from app.chat.records import Message
from app.chat.states import Outcome

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
PICTURES = {name: Image(name, "image/png", 1) for name in ("a", "b")}


def message(
    role: Role, content: str, outcome: Outcome | None = None, *, code: str = "", image: str = ""
) -> Message:
    images = [Image(image, "image/png", 1)] if image else []
    error = Problem(code, "It failed.") if code else None
    return Message(
        message_id="m", role=role, content=content, outcome=outcome, created_at="", error=error, images=images
    )


MESSAGES = st.builds(
    message,
    st.sampled_from(["system", "user", "assistant"]),
    st.sampled_from(["", " \n", "one", "two", "three " * 50]),
    st.none() | st.sampled_from(Outcome),
    code=st.sampled_from(["", "upstream_rejected", "upstream_unreachable"]),
    image=st.sampled_from(["", "a", "b", "gone"]),
)


def read(*earlier: Message, system: str | None = None, context: int = 4000) -> list[ChatMessage]:
    return assemble(earlier, message("user", "now"), Options(system=system), context, pictures=PICTURES)


@PATIENT
@given(
    earlier=st.lists(MESSAGES, max_size=12),
    begun=st.sampled_from(["", "begun"]),
    context=st.integers(60, 2000),
)
def test_turns(earlier: list[Message], begun: str, context: int) -> None:
    """User and assistant take turns behind at most one system prompt, the prompt is in the last of the user's."""
    got = assemble(earlier, message("user", "now"), Options(), context, begun=begun, pictures=PICTURES)
    talk = got[1:] if got[0].role == "system" else got
    roles = [each.role for each in talk]
    assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
    assert all(each.content.strip() or each.pictures for each in got)
    asked = talk[-2] if begun else talk[-1]
    assert (asked.role, asked.content.endswith("now")) == ("user", True)
    assert [each.content for each in talk].count(begun) == bool(begun)


def test_an_empty_answer_is_not_sent_back() -> None:
    """A mark goes in its place, so that the prompts around it stay what they were."""
    assert read(message("user", "one", image="a"), message("assistant", " \n", Outcome.COMPLETE)) == [
        ChatMessage("user", "one", (PICTURES["a"],)),
        ChatMessage("assistant", EMPTY),
        ChatMessage("user", "now"),
    ]


def test_prompts_in_a_row_are_joined() -> None:
    """With their images."""
    [only] = read(message("user", "one", image="a"), message("user", "two", image="b"))
    assert only == ChatMessage("user", "one\n\ntwo\n\nnow", (PICTURES["a"], PICTURES["b"]))


def test_an_answer_that_failed_says_so() -> None:
    """Also before its first word, so that its prompt stays one of its own."""
    failed = message("assistant", "", Outcome.FAILED, code="upstream_unreachable")
    assert read(message("user", "one"), failed) == [
        ChatMessage("user", "one"),
        ChatMessage("assistant", MARKS[Outcome.FAILED]),
        ChatMessage("user", "now"),
    ]


def test_a_repeated_prompt_counts_once() -> None:
    """Who sends the same twice asks once."""
    assert read(message("user", "now ")) == [ChatMessage("user", "now")]


def test_a_refused_prompt_is_left_out() -> None:
    """What the model server refused would have every later prompt refused as well: an image, a text too long."""
    for code in ("upstream_rejected", "context_exceeded"):
        earlier = [message("user", "see", image="a"), message("assistant", "", Outcome.FAILED, code=code)]
        assert read(message("user", "one"), message("assistant", "two"), *earlier)[-1] == ChatMessage(
            "user", "now"
        )
    busy = message("assistant", "", Outcome.FAILED, code="upstream_busy")
    assert read(message("user", "see"), busy)[0] == ChatMessage("user", "see")


def test_a_chat_that_begins_with_an_answer() -> None:
    """It keeps the answer, behind a word that says so; only where the rest was trimmed it goes with its question."""
    assert read(message("assistant", "Hello")) == [
        ChatMessage("user", BEGINNING),
        ChatMessage("assistant", "Hello"),
        ChatMessage("user", "now"),
    ]
    long = message("user", "long " * 4000)
    assert read(long, message("assistant", "Hello")) == [ChatMessage("user", "now")]


def test_system_messages_come_first() -> None:
    """One from the middle of an imported chat is part of the system prompt."""
    got = read(
        message("user", "one"), message("system", "Rhyme."), message("user", "two"), system="Be brief."
    )
    assert got == [ChatMessage("system", "Be brief.\n\nRhyme."), ChatMessage("user", "one\n\ntwo\n\nnow")]


def test_an_image_that_is_not_shown() -> None:
    """A prompt that is an image alone is never an empty message."""
    [first, *_] = read(message("user", "", image="gone"), message("assistant", "two"))
    assert first == ChatMessage("user", UNSEEN)
