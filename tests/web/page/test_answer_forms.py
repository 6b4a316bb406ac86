"""Regenerate, continue, edit and the options as plain forms, for browsers without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.ports import Options
from tests.support.puppet import PuppetGeneration
from tests.web.stage import Stage, until_event

STREAMS = "/api/sessions/s1/streams"


async def messages(stage: Stage) -> list[dict[str, Any]]:
    """The messages that the page shows."""
    found: list[dict[str, Any]] = (await stage.client.get("/api/sessions/s1"))["messages"]
    return found


async def sent(stage: Stage, **fields: str) -> PuppetGeneration:
    """Send a form, be shown the page, and return the generation that it asked for."""
    number = len(stage.puppet.generations) + 1
    async with stage.http.post(STREAMS, data=fields, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        assert response.headers["Location"].partition("?")[0] == "/sessions/s1"
    return await stage.opened(number)


async def test_regenerate(stage: Stage) -> None:
    """Another answer to the same prompt."""
    await stage.answer("s1", "hello", "Hi")
    answer = (await messages(stage))[1]["message_id"]
    generation = await sent(stage, regenerate=answer, model="puppet/puppet")
    assert [message.content for message in generation.request.messages] == ["hello"]
    assert len((await messages(stage))[1]["siblings"]) == 2


async def test_continue(stage: Stage) -> None:
    """More of the same answer."""
    posted = await stage.client.post("s1", "hello")
    (await stage.opened()).say("One")
    async with stage.client.events(posted["events_url"]) as events:
        await until_event(events, "token")
    await stage.client.stop(posted["stream_id"])
    generation = await sent(stage, **{"continue": (await messages(stage))[1]["message_id"], "model": ""})
    generation.say(", two")
    generation.finish()
    await stage.settled()
    assert (await messages(stage))[1]["content"] == "One, two"


async def test_edit(stage: Stage) -> None:
    """A prompt in the place of an old one; with an empty parent, of the first."""
    await stage.answer("s1", "one", "1")
    await stage.answer("s1", "two", "2")
    first = (await messages(stage))[1]["message_id"]
    generation = await sent(stage, prompt="zwei", parent_id=first)
    assert [message.content for message in generation.request.messages] == ["one", "1", "zwei"]
    generation = await sent(stage, prompt="eins", parent_id="")
    assert [message.content for message in generation.request.messages] == ["eins"]


async def test_options(stage: Stage) -> None:
    """Those that are filled in are kept for the session; an empty field is unset again, no field changes nothing."""
    fields = {"system": "Brief.\r\nKind.", "temperature": "0.5", "top_p": "", "max_tokens": "64", "seed": "7"}
    chosen = Options(system="Brief.\nKind.", temperature=0.5, max_tokens=64, seed=7)
    assert (await sent(stage, prompt="one", **fields)).request.options == chosen
    assert (await sent(stage, prompt="two")).request.options == chosen
    emptied = {**dict.fromkeys(fields, ""), "seed": "8"}
    assert (await sent(stage, prompt="three", **emptied)).request.options == Options(seed=8)
    assert (await stage.client.get("/api/sessions/s1"))["options"] == {"seed": 8}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"prompt": "x", "temperature": "hot"}, 422),
        ({"prompt": "x", "temperature": "3"}, 422),
        ({"prompt": "x", "seed": "1.5"}, 422),
        ({"prompt": "x", "parent_id": "unknown"}, 404),
        ({"regenerate": "unknown"}, 404),
        ({"continue": "ANSWER"}, 422),
        ({"regenerate": "ANSWER", "continue": "ANSWER"}, 422),
    ],
)
async def test_what_is_refused(stage: Stage, fields: dict[str, str], status: int) -> None:
    """The page again, with the status and a sentence; nothing is registered."""
    await stage.answer("s1", "hello", "Hi")
    answer = (await messages(stage))[1]["message_id"]
    named = {name: answer if value == "ANSWER" else value for name, value in fields.items()}
    async with stage.http.post(STREAMS, data=named) as response:
        assert (response.status, response.content_type) == (status, "text/html")
        assert "</html>" in await response.text()
    assert len(stage.puppet.generations) == 1
