"""Branches over HTTP: edited prompts, regenerated answers, and what the model reads on each branch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.puppet import PuppetGeneration
from tests.web.stage import Stage, problem


def read(generation: PuppetGeneration) -> list[str]:
    """What the model was given to read."""
    return [message.content for message in generation.request.messages]


async def shown(stage: Stage, through: str = "") -> list[dict[str, Any]]:
    """The messages of a branch of session s1."""
    query = f"?branch={through}" if through else ""
    messages: list[dict[str, Any]] = (await stage.client.get(f"/api/sessions/s1{query}"))["messages"]
    return messages


def said(messages: list[dict[str, Any]]) -> list[str]:
    """What they say."""
    return [message["content"] for message in messages]


async def finished(stage: Stage, number: int, answer: str) -> PuppetGeneration:
    """Let the `number`th generation answer, and wait for the end of its stream."""
    generation = await stage.opened(number)
    generation.say(answer)
    generation.finish()
    await stage.settled()
    return generation


async def test_an_edited_prompt_is_a_branch(stage: Stage) -> None:
    """It follows what the old one followed; the model reads that branch, and the old one stays reachable."""
    await stage.answer("s1", "one", "1")
    await stage.answer("s1", "two", "2")
    old = await shown(stage)
    posted = await stage.client.post("s1", "zwei", parent_id=old[1]["message_id"])
    assert posted["http"] == 201
    assert read(await finished(stage, 3, "II")) == ["one", "1", "zwei"]
    new = await shown(stage)
    assert said(new) == ["one", "1", "zwei", "II"]
    assert new[2]["siblings"] == [old[2]["message_id"], new[2]["message_id"]]
    assert said(await shown(stage, old[2]["message_id"])) == ["one", "1", "two", "2"]


async def test_an_edited_first_prompt_begins_anew(stage: Stage) -> None:
    """`parent_id: null` is the beginning: the model reads nothing else."""
    await stage.answer("s1", "one", "1")
    await stage.client.post("s1", "eins", parent_id=None)
    assert read(await finished(stage, 2, "I")) == ["eins"]
    messages = await shown(stage)
    assert (said(messages), messages[0]["parent_id"]) == (["eins", "I"], None)


async def test_a_regenerated_answer_is_a_branch(stage: Stage) -> None:
    """Another answer to the same prompt, which is not said again; the next prompt follows it."""
    await stage.answer("s1", "one", "1")
    await stage.answer("s1", "two", "2")
    old = await shown(stage)
    posted = await stage.client.register("s1", regenerate=old[3]["message_id"])
    assert posted["http"] == 201
    assert read(await finished(stage, 3, "zwei")) == ["one", "1", "two"]
    start = (await stage.client.read_stream(posted["stream_id"]))[0].data
    assert (start["prompt"], start["parent_id"]) == (
        {"message_id": old[2]["message_id"], "text": "two"},
        old[1]["message_id"],
    )
    new = await shown(stage)
    assert said(new) == ["one", "1", "two", "zwei"]
    assert new[3]["siblings"] == [old[3]["message_id"], new[3]["message_id"]]
    await stage.client.post("s1", "three")
    assert read(await finished(stage, 4, "3")) == ["one", "1", "two", "zwei", "three"]


async def test_a_running_answer_is_regenerated(stage: Stage) -> None:
    """It is superseded, and stays as a sibling with what it had."""
    await stage.client.post("s1", "one")
    (await stage.opened()).say("half")
    answer = (await shown(stage))[1]["message_id"]
    await stage.client.register("s1", regenerate=answer)
    await finished(stage, 2, "whole")
    assert said(await shown(stage)) == ["one", "whole"]
    assert (await shown(stage, answer))[1]["outcome"] == "superseded"


async def test_regenerating_takes_the_model_of_the_answer(stage: Stage) -> None:
    """Unless another one is named: that is how one compares models."""
    await stage.client.ask("s1", "hello", model="scripted/short")
    answer = (await shown(stage))[1]["message_id"]
    for body, model in ({}, "scripted/short"), ({"model": "puppet/puppet"}, "puppet/puppet"):
        posted = await stage.client.register("s1", regenerate=answer, **body)
        assert (await stage.client.get(f"/api/streams/{posted['stream_id']}"))["model"] == model


async def test_a_rollback_of_a_branch_leaves_the_others(stage: Stage) -> None:
    """The new prompt follows what the dropped one followed, also where that was not the newest message."""
    await stage.answer("s1", "one", "1")
    await stage.answer("s1", "two", "2")
    first = (await shown(stage))[1]["message_id"]
    await stage.client.post("s1", "zwei", parent_id=first)
    (await stage.opened(3)).say("never mind")
    await stage.client.post("s1", "deux", if_active="rollback")
    assert read(await finished(stage, 4, "II")) == ["one", "1", "deux"]
    assert said(await shown(stage)) == ["one", "1", "deux", "II"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"prompt": "x", "regenerate": "y"}, 422, "invalid_request"),
        ({"prompt": "x", "continue": "y"}, 422, "invalid_request"),
        ({"regenerate": "x", "continue": "y"}, 422, "invalid_request"),
        ({"regenerate": "unknown"}, 404, "message_not_found"),
        ({"continue": "unknown"}, 404, "message_not_found"),
        ({"prompt": "x", "parent_id": "unknown"}, 404, "message_not_found"),
        ({"regenerate": "PROMPT"}, 422, "not_an_answer"),
        ({"continue": "PROMPT"}, 422, "not_an_answer"),
        ({"prompt": "x", "parent_id": "PROMPT"}, 422, "not_an_answer"),
        ({"regenerate": "ANSWER", "parent_id": "ANSWER"}, 422, "invalid_request"),
        ({"regenerate": "ANSWER", "if_active": "rollback"}, 422, "invalid_request"),
        ({"continue": "ANSWER", "if_active": "rollback"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_branched(stage: Stage, body: dict[str, str], status: int, code: str) -> None:
    """A refusal that says why; nothing is registered, and the conversation is as it was."""
    await stage.answer("s1", "hello", "Hi")
    before = await shown(stage)
    ids = {"PROMPT": before[0]["message_id"], "ANSWER": before[1]["message_id"]}
    named = {name: ids.get(value, value) for name, value in body.items()}
    async with stage.http.post("/api/sessions/s1/streams", json=named) as response:
        await problem(response, status, code)
    assert await shown(stage) == before
    assert len(stage.puppet.generations) == 1


async def test_nothing_is_regenerated_in_a_session_that_is_not_there(stage: Stage) -> None:
    """404, and it does not come into being."""
    for body in ({"regenerate": "x"}, {"continue": "x"}):
        refused = await stage.client.register("nowhere", model="puppet/puppet", **body)
        assert (refused["http"], refused["code"]) == (404, "message_not_found")
    assert (await stage.client.get("/api/sessions/nowhere"))["http"] == 404
