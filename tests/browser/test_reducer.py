"""The reducer, which needs neither page nor server: it is called in the browser as a module, with a list of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.modules import Modules
from tests.log.answer_cases import Case, cases

REDUCE = """async ([url, state, actions]) => {
    const { initial, reduce } = await import(`${url}/state/reducer.js`);
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


def start(stream: str, seq: int, text: str = "hello", **changes: Any) -> dict[str, Any]:
    prompt = {"message_id": f"prompt-{stream}", "text": text}
    data = {"stream_id": stream, "message_id": f"answer-{stream}", "model": "scripted/echo", "prompt": prompt}
    return {"type": "start", "id": f"1-{seq}", "at": 0, "data": {**data, **changes}}


def token(stream: str, seq: int, position: int, text: str, count: int = 1) -> dict[str, Any]:
    data = {"stream_id": stream, "position": position, "count": count, "text": text}
    return {"type": "token", "id": f"1-{seq}", "data": data}


def end(stream: str, seq: int, outcome: str = "complete", **changes: Any) -> dict[str, Any]:
    data = {
        "stream_id": stream,
        "outcome": outcome,
        "completion_tokens": 1,
        "duration_ms": 5,
        "upstream_closed": True,
    }
    return {"type": "end", "id": f"1-{seq}", "data": {**data, **changes}}


def block(stream: str, index: int, end: int, html: str) -> dict[str, Any]:
    data = {"stream_id": stream, "message_id": f"answer-{stream}", "index": index, "end": end, "html": html}
    return {"type": "block", "id": None, "data": data}


def exchange(stream: str, seq: int, parent: str | None, text: str = "hello") -> list[dict[str, Any]]:
    """Return an exchange that has ended, which follows `parent`."""
    return [
        start(stream, seq, text, parent_id=parent),
        token(stream, seq + 1, 0, stream),
        end(stream, seq + 2),
    ]


def prompted(key: str, text: str) -> dict[str, Any]:
    return {"type": "prompted", "key": key, "text": text, "model": "scripted/echo", "at": 0}


def accepted(key: str, stream: str, cursor: str = "1-0") -> dict[str, Any]:
    return {"type": "accepted", "key": key, "streamId": stream, "cursor": cursor}


def ids(state: State) -> list[str]:
    return [message["id"] for message in state["messages"]]


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


def test_tokens_that_were_joined_across_the_cursor_tear_the_state(reduce: Reduce) -> None:
    """A snapshot says nothing of positions; the ids tell that a part of the text is in it already."""
    shown = {"id": "answer-a", "role": "assistant", "streamId": "a", "status": "streaming", "text": "xy"}
    state = {"cursor": "1-5", "messages": [shown]}
    torn = reduce([token("a", 8, 1, "yzab", count=4)], state)
    assert (texts(torn), torn["torn"]) == (["xy"], True)
    whole = reduce([token("a", 8, 2, "zab", count=3)], state)
    assert (texts(whole), whole["torn"]) == (["xyzab"], False)


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


def test_blocks_close_what_the_tokens_said(reduce: Reduce) -> None:
    """A block comes before the token that closed it; its text is the same whenever it comes."""
    said = [token("a", 2, 0, "one\n"), token("a", 3, 1, "\ntwo")]
    early = reduce([start("a", 1), said[0], block("a", 0, 5, "<p>one</p>"), said[1]])
    late = reduce([start("a", 1), *said, block("a", 0, 5, "<p>one</p>")])
    for state in (early, late):
        answer = state["messages"][1]
        assert (answer["blocks"], answer["closed"], answer["text"]) == (["<p>one</p>"], 5, "one\n\ntwo")


def test_a_block_replaces_the_one_of_its_number(reduce: Reduce) -> None:
    """Blocks come again after a reconnection, or changed by a late reference link, also after the end."""
    blocks = [block("a", 0, 5, "one"), block("a", 1, 9, "two")]
    state = reduce([start("a", 1), *blocks, *blocks, end("a", 2), block("a", 0, 5, "uno")])
    answer = state["messages"][1]
    assert (answer["blocks"], answer["closed"]) == (["uno", "two"], 9)


def test_a_missing_block_tears_the_state(reduce: Reduce) -> None:
    """One that belongs behind another that never came."""
    state = reduce([start("a", 1), block("a", 1, 9, "two")])
    assert state["messages"][1]["blocks"] == []
    assert state["torn"]


def test_blocks_of_a_stream_that_is_not_shown_change_nothing(reduce: Reduce) -> None:
    """An answer of another branch, or one from before it was continued."""
    state = reduce([start("a", 1), block("b", 0, 5, "strange")])
    assert state["messages"][1]["blocks"] == []
    assert not state["torn"]


def test_a_length_cut_off_is_known(reduce: Reduce) -> None:
    """The end says why."""
    state = reduce([start("a", 1), end("a", 2, finish_reason="length")])
    assert state["messages"][1]["finishReason"] == "length"


def test_a_prompt_that_follows_an_earlier_message_cuts_the_rest(reduce: Reduce) -> None:
    """An edited prompt takes the place of the one before it; both are known to stand there."""
    first, second = exchange("a", 1, None), exchange("b", 4, "answer-a")
    state = reduce([*first, *second, start("c", 7, "edited", parent_id="answer-a")])
    assert ids(state) == ["prompt-a", "answer-a", "prompt-c", "answer-c"]
    assert state["messages"][2]["siblings"] == ["prompt-b", "prompt-c"]
    state = reduce([*first, *second, start("d", 7, "edited", parent_id=None)])
    assert ids(state) == ["prompt-d", "answer-d"]
    assert state["messages"][0]["siblings"] == ["prompt-a", "prompt-d"]


def test_another_answer_takes_the_place_of_the_first(reduce: Reduce) -> None:
    """A `start` whose prompt is shown already brings a sibling of its answer."""
    asked = {"message_id": "prompt-a", "text": "hello"}
    again = start("b", 4, prompt=asked, parent_id=None)
    state = reduce([*exchange("a", 1, None), again, token("b", 5, 0, "new")])
    assert ids(state) == ["prompt-a", "answer-b"]
    assert texts(state) == ["hello", "new"]
    assert state["messages"][1]["siblings"] == ["answer-a", "answer-b"]


def test_a_prompt_on_a_branch_that_is_not_shown_tears_the_state(reduce: Reduce) -> None:
    """The snapshot tells which branch is the newest now."""
    state = reduce([*exchange("a", 1, None), start("c", 4, parent_id="answer-of-another-branch")])
    assert ids(state) == ["prompt-a", "answer-a"]
    assert state["torn"]


def test_a_continued_answer_grows_in_its_place(reduce: Reduce) -> None:
    """Its tokens count from 0 again, its last block opens again, and what it says in the end is one text."""
    begun = [
        start("a", 1, parent_id=None),
        token("a", 2, 0, "one\n\ntw", count=3),
        block("a", 0, 5, "<p>one</p>"),
    ]
    broken = [*begun, block("a", 1, 7, "<p>tw</p>"), end("a", 3, "interrupted")]
    on = start(
        "b", 4, message_id="answer-a", continues=True, prompt={"message_id": "prompt-a", "text": "hello"}
    )
    tail = {"type": "tail", "id": None, "data": {"stream_id": "b", "index": 1, "closed": 5, "text": "tw"}}
    state = reduce([*broken, on, tail, token("b", 5, 0, "o")])
    assert ids(state) == ["prompt-a", "answer-a"]
    answer = state["messages"][1]
    assert (answer["blocks"], answer["closed"], answer["from"], answer["text"]) == (
        ["<p>one</p>"],
        5,
        5,
        "two",
    )
    assert (answer["status"], answer["outcome"], answer["streamId"]) == ("streaming", None, "b")
    again = reduce([*broken, on, tail, token("b", 5, 0, "o"), tail])
    assert again["messages"][1]["text"] == "two"


@pytest.mark.parametrize(
    "wish",
    [
        {"type": "prompted", "text": "edited", "parentId": "answer-a"},
        {"type": "prompted", "text": "edited", "parentId": None},
        {"type": "regenerated", "of": "answer-b"},
        {"type": "regenerated", "of": "answer-a"},
        {"type": "continued", "key": "answer-b"},
    ],
    ids=["edited", "edited first", "regenerated", "regenerated first", "continued"],
)
def test_a_refused_wish_leaves_everything_as_it_was(reduce: Reduce, wish: dict[str, Any]) -> None:
    """What was cut comes back, in its place."""
    shown = [*exchange("a", 1, None), *exchange("b", 4, "answer-a")]
    wish = {"key": "k", "model": "scripted/echo", "at": 0, **wish}
    asked = reduce([*shown, wish])
    assert asked["messages"][-1]["status"] == "thinking"
    assert reduce([*shown, wish, {"type": "refused", "key": wish["key"]}]) == reduce(shown)


def test_an_own_wish_becomes_what_the_log_says(reduce: Reduce) -> None:
    """Whichever of the `start` and the answer to the POST comes first: nothing is drawn twice."""
    shown = [*exchange("a", 1, None), *exchange("b", 4, "answer-a")]
    edited = {"type": "prompted", "key": "k", "text": "edited", "parentId": "answer-a", "at": 0}
    again = {"type": "regenerated", "key": "k", "of": "answer-b", "at": 0}
    on = {"type": "continued", "key": "answer-b", "at": 0}
    kept = {"message_id": "prompt-b", "text": "hello"}
    cases: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
        (
            edited,
            start("c", 7, "edited", parent_id="answer-a"),
            ["prompt-a", "answer-a", "prompt-c", "answer-c"],
        ),
        (
            again,
            start("c", 7, prompt=kept, parent_id="answer-a"),
            ["prompt-a", "answer-a", "prompt-b", "answer-c"],
        ),
        (
            on,
            start("c", 7, prompt=kept, parent_id="answer-a", message_id="answer-b", continues=True),
            ["prompt-a", "answer-a", "prompt-b", "answer-b"],
        ),
    ]
    for wish, begun, expected in cases:
        for news in ([accepted(str(wish["key"]), "c"), begun], [begun, accepted(str(wish["key"]), "c")]):
            state = reduce([*shown, wish, *news])
            assert ids(state) == expected
            assert not any(message["local"] for message in state["messages"])
            assert state["messages"][-1]["streamId"] == "c"
            assert state["messages"][-1]["status"] == "thinking"
            assert not state["torn"]


def test_earlier_messages_go_before_the_first_one(reduce: Reduce) -> None:
    """They are what the branch has before it, and know what comes before themselves."""
    shown = {"messages": [{"id": "p2"}, {"id": "a2", "role": "assistant"}], "before": "a1"}
    earlier = {
        "type": "earlier",
        "first": "p2",
        "messages": [{"id": "p1"}, {"id": "a1", "role": "assistant"}],
    }
    state = reduce([{**earlier, "before": "a0"}], shown)
    assert [each["id"] for each in state["messages"]] == ["p1", "a1", "p2", "a2"]
    assert state["before"] == "a0"


def test_earlier_messages_of_another_branch_are_dropped(reduce: Reduce) -> None:
    """The page has changed while they were on their way."""
    shown = {"messages": [{"id": "other"}], "before": "a1"}
    state = reduce([{"type": "earlier", "first": "p2", "messages": [{"id": "p1"}], "before": None}], shown)
    assert [each["id"] for each in state["messages"]] == ["other"]
    assert state["before"] == "a1"


def test_a_prompt_that_follows_what_is_not_shown(reduce: Reduce) -> None:
    """The first prompt on the page was edited: the new one takes its place, and nothing is missing."""
    shown = {"messages": [{"id": "p2"}, {"id": "a2", "role": "assistant"}], "before": "a1"}
    state = reduce([start("s", 1, "instead", parent_id="a1")], shown)
    assert [each["id"] for each in state["messages"]] == ["prompt-s", "answer-s"]
    assert state["torn"] is False


def test_a_snapshot_says_what_comes_before_it(reduce: Reduce) -> None:
    """A page that reloads its messages may have fewer or more of them than before."""
    snapshot = {"type": "snapshot", "cursor": "1-1", "messages": [{"id": "p2", "role": "user"}]}
    assert reduce([{**snapshot, "before": "a1"}])["before"] == "a1"
    assert reduce([snapshot], {"before": "a1"})["before"] is None


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_an_answer_is_what_the_server_takes_it_for(reduce: Reduce, case: Case) -> None:
    """The cases of `AnswerView`, which every page without a script and every snapshot shows."""
    base = {
        "stream_id": "s",
        "message_id": "m",
        "model": "b/m",
        "prompt": {"message_id": "p", "text": "hello"},
    }
    ends = {"completion_tokens": 1, "duration_ms": 5, "upstream_closed": True}
    extra: dict[str, dict[str, Any]] = {"start": base, "end": ends}
    actions = [
        {"type": name, "id": f"1-{seq}", "at": 0, "data": {"stream_id": "s", **extra.get(name, {}), **data}}
        for seq, (name, data) in enumerate(case.entries, 1)
    ]
    # Sequence numbers count pieces; these count entries, so nothing is taken for a repetition by its id.
    state = reduce(actions)
    answer = state["messages"][-1]
    shown = {key: answer[key] for key in ("text", "reasoning", "status", "note", "outcome")}
    assert {**shown, "torn": state["torn"]} == case.shown
