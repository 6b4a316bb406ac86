"""The reducer, which needs neither page nor server: it is called in the browser as a module, with a list of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.modules import Modules

REDUCE = """async ([url, state, actions]) => {
    const { initial, reduce } = await import(`${url}/reducer.js`);
    return actions.reduce(reduce, initial(state));
}"""

State = dict[str, Any]
Reduce = Callable[..., State]


@pytest.fixture(scope="module")
def reduce(modules: Modules) -> Reduce:
    """A function `(actions, state) -> state` that runs `reducer.js`."""

    def call(actions: list[dict[str, Any]], state: State | None = None) -> State:
        result: State = modules.page.evaluate(REDUCE, [modules.url, state or {}, actions])
        return result

    return call


def start(stream: str, seq: int, text: str = "hello") -> dict[str, Any]:
    prompt = {"message_id": f"prompt-{stream}", "text": text}
    data = {"stream_id": stream, "message_id": f"answer-{stream}", "model": "scripted/echo", "prompt": prompt}
    return {"type": "start", "id": f"1-{seq}", "at": 0, "data": data}


def token(stream: str, seq: int, position: int, text: str, count: int = 1) -> dict[str, Any]:
    data = {"stream_id": stream, "position": position, "count": count, "text": text}
    return {"type": "token", "id": f"1-{seq}", "data": data}


def end(stream: str, seq: int, outcome: str = "complete") -> dict[str, Any]:
    data = {"stream_id": stream, "outcome": outcome, "tokens": 1, "duration_ms": 5, "upstream_closed": True}
    return {"type": "end", "id": f"1-{seq}", "data": data}


def prompted(key: str, text: str) -> dict[str, Any]:
    return {"type": "prompted", "key": key, "text": text, "model": "scripted/echo", "at": 0}


def accepted(key: str, stream: str, cursor: str = "1-0") -> dict[str, Any]:
    return {"type": "accepted", "key": key, "streamId": stream, "cursor": cursor}


def texts(state: State) -> list[str]:
    return [message["text"] for message in state["messages"]]


def test_events_of_another_stream_change_nothing(reduce: Reduce) -> None:
    """The guard: a token and an end of a stream that has no message here are dropped."""
    state = reduce([start("a", 1), token("b", 2, 0, "strange"), end("b", 3), token("a", 4, 0, "own")])
    assert texts(state) == ["hello", "own"]
    assert state["messages"][1]["status"] == "streaming"


def test_nothing_is_applied_after_the_end(reduce: Reduce) -> None:
    """Late tokens, a second end and a status of an ended stream change nothing."""
    late = {"type": "status", "id": "1-6", "data": {"stream_id": "a", "status": "streaming"}}
    state = reduce(
        [
            start("a", 1),
            token("a", 2, 0, "x"),
            end("a", 3, "stopped"),
            token("a", 4, 1, "y"),
            end("a", 5),
            late,
        ]
    )
    answer = state["messages"][1]
    assert (answer["text"], answer["status"], answer["outcome"]) == ("x", "ended", "stopped")


def test_each_stream_fills_its_own_answer(reduce: Reduce) -> None:
    """Two streams, one after the other, do not touch each other's text."""
    state = reduce(
        [
            start("a", 1),
            token("a", 2, 0, "1"),
            end("a", 3, "superseded"),
            start("b", 4, "again"),
            token("b", 5, 0, "2"),
        ]
    )
    assert texts(state) == ["hello", "1", "again", "2"]


def test_an_event_is_applied_once(reduce: Reduce) -> None:
    """A frame that comes again, by its id or by its position, adds nothing."""
    again = [token("a", 2, 0, "x"), token("a", 2, 0, "x"), token("a", 3, 0, "x"), token("a", 4, 1, "y")]
    state = reduce([start("a", 1), *again])
    assert texts(state) == ["hello", "xy"]
    assert not state["torn"]


def test_an_event_at_or_before_the_cursor_is_past(reduce: Reduce) -> None:
    """What a snapshot already shows is not applied again, an older epoch neither; a newer epoch is."""
    shown = {"cursor": "2-5", "messages": []}
    older = {**start("a", 9), "id": "1-9"}
    at = {**start("b", 5), "id": "2-5"}
    newer = {**start("c", 1), "id": "3-1"}
    state = reduce([older, at], shown)
    assert state["messages"] == []
    state = reduce([older, at, newer], shown)
    assert [message["id"] for message in state["messages"]] == ["prompt-c", "answer-c"]


@pytest.mark.parametrize("position", [0, 3])
def test_a_gap_or_half_a_repetition_tears_the_state(reduce: Reduce, position: int) -> None:
    """Tokens that do not join what is there are not shown; the state asks for a snapshot."""
    torn = token("a", 3, position, "zzz", count=3)
    state = reduce([start("a", 1), token("a", 2, 0, "xy", count=2), torn])
    assert texts(state) == ["hello", "xy"]
    assert state["torn"]


def test_the_start_of_an_own_prompt_draws_nothing_twice(reduce: Reduce) -> None:
    """A prompt shown at once is the one that its `start` speaks of, whichever of `start` and answer comes first."""
    late = reduce([prompted("k", "hello"), accepted("k", "a"), start("a", 1)])
    early = reduce([prompted("k", "hello"), start("a", 1), accepted("k", "a")])
    for state in (late, early):
        assert [message["id"] for message in state["messages"]] == ["prompt-a", "answer-a"]
        assert not any(message["local"] for message in state["messages"])


def test_the_same_words_from_another_tab_are_not_taken_for_ours(reduce: Reduce) -> None:
    """Two tabs send the same text at once: both exchanges are shown, each with its own answer."""
    state = reduce(
        [prompted("k", "hello"), start("b", 1), accepted("k", "a"), end("b", 2, "superseded"), start("a", 3)]
    )
    assert [message["id"] for message in state["messages"]] == [
        "prompt-b",
        "answer-b",
        "prompt-a",
        "answer-a",
    ]


def test_messages_stand_in_the_order_of_the_log(reduce: Reduce) -> None:
    """A prompt of another tab whose turn came first moves before the one that was sent here."""
    state = reduce([prompted("k", "mine"), accepted("k", "a"), start("b", 1, "theirs")])
    assert texts(state) == ["theirs", "", "mine", ""]


def test_a_repeated_prompt_that_is_already_shown_is_not_drawn_again(reduce: Reduce) -> None:
    """If the server answers with a stream that the log has spoken of, what was drawn for the repetition goes."""
    state = reduce([start("a", 1), end("a", 2), prompted("k", "hello"), accepted("k", "a")])
    assert [message["id"] for message in state["messages"]] == ["prompt-a", "answer-a"]


def test_a_refused_prompt_leaves_no_trace(reduce: Reduce) -> None:
    """What was shown of a prompt that the server did not take is gone."""
    state = reduce([prompted("k", "hello"), {"type": "refused", "key": "k"}])
    assert state["messages"] == []


def test_a_snapshot_keeps_what_is_still_under_way(reduce: Reduce) -> None:
    """After a reset the messages are the server's, followed by the prompt whose POST has no answer yet."""
    kept = {"id": "m", "role": "user", "text": "from the server", "streamId": None, "status": "ended"}
    state = reduce(
        [start("a", 1), prompted("k", "mine"), {"type": "snapshot", "cursor": "2-7", "messages": [kept]}]
    )
    assert texts(state) == ["from the server", "mine", ""]
    assert state["cursor"] == "2-7"
