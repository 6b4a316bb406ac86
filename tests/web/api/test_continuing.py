"""Continuing: an answer that broke off goes on in the same message, from the very text that it has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from app.chat.errors import UpstreamTruncated
from app.chat.ports import ChatMessage
from tests.support.waiting import until_told
from tests.web.stage import Stage, on_stage, problem


async def last(stage: Stage, session_id: str = "s1") -> dict[str, Any]:
    """The last message of a session."""
    message: dict[str, Any] = (await stage.client.get(f"/api/sessions/{session_id}"))["messages"][-1]
    return message


async def says(stage: Stage, text: str, name: str = "content") -> dict[str, Any]:
    """Return the last message once it says this."""

    async def is_said() -> bool:
        return bool((await last(stage))[name] == text)

    await until_told(is_said)
    return await last(stage)


async def broken_off(stage: Stage, *words: str) -> dict[str, Any]:
    """Stop an answer after `words`, and return it."""
    number = len(stage.puppet.generations) + 1
    posted = await stage.client.post("s1", "hello")
    generation = await stage.opened(number)
    if words:
        generation.say("Hm.", kind="reasoning")
        generation.say(*words)
    await says(stage, "".join(words))
    await stage.client.stop(posted["stream_id"])
    return await last(stage)


async def test_an_answer_goes_on_in_its_message(stage: Stage) -> None:
    """The model reads what there is as the beginning of its own message, and what it says is joined to it."""
    answer = await broken_off(stage, "One, ", "two")
    posted = await stage.client.register("s1", **{"continue": answer["message_id"]})
    generation = await stage.opened(2)
    assert list(generation.request.messages) == [
        ChatMessage("user", "hello"),
        ChatMessage("assistant", "One, two"),
    ]
    generation.say(", three")
    running = await says(stage, "One, two, three")
    assert (running["outcome"], running["reasoning"]) == (None, "Hm.")
    generation.finish()
    start, *_, token, end = await stage.client.read_stream(posted["stream_id"])
    assert (start.data["continues"], start.data["message_id"]) == (True, answer["message_id"])
    assert (token.data["position"], token.data["text"]) == (0, ", three")
    assert end.data["outcome"] == "complete"
    done = await last(stage)
    assert (done["content"], done["reasoning"]) == ("One, two, three", "Hm.")
    assert (done["message_id"], done["outcome"]) == (answer["message_id"], "complete")
    assert (done["stream_id"], done["created_at"]) == (posted["stream_id"], answer["created_at"])
    assert len((await stage.client.get("/api/sessions/s1"))["messages"]) == 2


async def test_an_answer_without_a_word_is_begun_anew(stage: Stage) -> None:
    """In its own message; what the model had thought before is dropped with the first word."""
    posted = await stage.client.post("s1", "hello")
    (await stage.opened()).say("Hm.", kind="reasoning")
    await says(stage, "Hm.", "reasoning")
    await stage.client.stop(posted["stream_id"])
    stage.puppet.continues = False  # it need not be able to: there is nothing to go on from
    answer = await last(stage)
    await stage.client.register("s1", **{"continue": answer["message_id"]})
    generation = await stage.opened(2)
    assert list(generation.request.messages) == [ChatMessage("user", "hello")]
    generation.say("Oh.", kind="reasoning")
    generation.say("Hi")
    generation.finish()
    await stage.settled()
    done = await last(stage)
    assert (done["content"], done["reasoning"]) == ("Hi", "Oh.")
    assert done["message_id"] == answer["message_id"]


async def test_an_answer_that_was_cut_for_its_length_goes_on(stage: Stage) -> None:
    """It is complete as far as the model was allowed; a finished one is not continued."""
    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    generation.say("One")
    generation.finish("length")
    await stage.settled()
    answer = await last(stage)
    assert (answer["outcome"], answer["finish_reason"]) == ("complete", "length")
    await stage.client.register("s1", **{"continue": answer["message_id"]})
    generation = await stage.opened(2)
    generation.say(", two")
    generation.finish()
    await stage.settled()
    assert (await last(stage))["content"] == "One, two"
    refused = await stage.client.register("s1", **{"continue": answer["message_id"]})
    assert (refused["http"], refused["code"]) == (422, "cannot_continue")


async def test_only_one_of_many_continues_an_answer(stage: Stage) -> None:
    """The others are answered 409, and register nothing."""
    answer = await broken_off(stage, "One")
    body = {"continue": answer["message_id"], "if_active": "enqueue"}
    posts = await asyncio.gather(*(stage.client.register("s1", **body) for _ in range(8)))
    assert sorted(post["http"] for post in posts) == [201] + [409] * 7
    generation = await stage.opened(2)
    generation.say(", two")
    generation.finish()
    await stage.settled()
    assert (await last(stage))["content"] == "One, two"
    assert len(stage.puppet.generations) == 2


async def test_an_answer_is_continued_again_and_again(stage: Stage) -> None:
    """Each stream goes on from what the one before left, whatever ended it."""
    answer = await broken_off(stage, "One")
    for number, word in enumerate((", two", ", three"), start=2):
        await stage.client.register("s1", **{"continue": answer["message_id"]})
        generation = await stage.opened(number)
        generation.say(word)
        generation.fail(UpstreamTruncated("It broke off."))
        await stage.settled()
        assert (await last(stage))["outcome"] == "failed"
    assert (await last(stage))["content"] == "One, two, three"


async def added(stage: Stage, answer: dict[str, Any], if_active: str) -> dict[str, Any]:
    """Continue an answer, let it grow, send a newer prompt; return the answer once its stream has ended."""
    posted = await stage.client.register("s1", **{"continue": answer["message_id"]})
    (await stage.opened(2)).say(", two")
    await says(stage, "One, two")
    await stage.client.post("s1", "next", if_active=if_active)
    await stage.opened(3)
    assert (await stage.client.get(f"/api/streams/{posted['stream_id']}"))["outcome"] == "superseded"
    changed: dict[str, Any] = (await stage.client.get("/api/sessions/s1"))["messages"][1]
    return changed


async def test_a_superseded_continuation_keeps_what_it_added(stage: Stage) -> None:
    """The model reads all of it, with a mark."""
    after = await added(stage, await broken_off(stage, "One"), "supersede")
    assert (after["content"], after["outcome"]) == ("One, two", "superseded")
    assert stage.puppet.generations[2].request.messages[1].content.startswith("One, two\n")


async def test_a_continuation_that_is_rolled_back_was_never_there(stage: Stage) -> None:
    """The answer is as it was before, to the last figure, and the new prompt follows it."""
    before = await broken_off(stage, "One")
    assert await added(stage, before, "rollback") == before
    assert len((await stage.client.get("/api/sessions/s1"))["messages"]) == 4


async def test_what_is_not_to_be_continued(stage: Stage) -> None:
    """A running answer (409), a complete one, and one after which the conversation went on (422)."""
    answer = await broken_off(stage, "One")
    await stage.answer("s1", "next", "Well")
    for message_id in (answer["message_id"], (await last(stage))["message_id"]):
        async with stage.http.post("/api/sessions/s1/streams", json={"continue": message_id}) as response:
            await problem(response, 422, "cannot_continue")
    await stage.client.post("s1", "and")
    await stage.opened(3)
    running = (await last(stage))["message_id"]
    async with stage.http.post("/api/sessions/s1/streams", json={"continue": running}) as response:
        await problem(response, 409, "session_busy")
    assert len(stage.puppet.generations) == 3


async def test_a_server_that_cannot_says_so(stage: Stage) -> None:
    """422 with the way out; the answer is as it was."""
    stage.puppet.continues = False
    async with stage.http.get("/models?refresh=1") as response:  # the list is known since the start
        assert response.status == 200
    answer = await broken_off(stage, "One")
    async with stage.http.post(
        "/api/sessions/s1/streams", json={"continue": answer["message_id"]}
    ) as response:
        assert "Regenerate" in (await problem(response, 422, "cannot_continue"))["detail"]
    assert await last(stage) == answer


async def test_a_server_that_may_not_says_so(tmp_path: Path) -> None:
    """With the setting at `off`, 403."""
    async with on_stage(tmp_path, continue_="off") as stage:
        answer = await broken_off(stage, "One")
        async with stage.http.post(
            "/api/sessions/s1/streams", json={"continue": answer["message_id"]}
        ) as response:
            await problem(response, 403, "continue_off")


async def test_a_repeated_continuation_is_known_by_its_key(stage: Stage) -> None:
    """Sent again, it continues nothing again, also when the answer is complete by then."""
    answer = await broken_off(stage, "One")
    first = await stage.client.register("s1", key="k", **{"continue": answer["message_id"]})
    (await stage.opened(2)).finish()
    await stage.settled()
    again = await stage.client.register("s1", key="k", **{"continue": answer["message_id"]})
    assert (again["http"], again["stream_id"]) == (200, first["stream_id"])
