"""The agents of examples/agents: started as the README says, with a double of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from tests.doubles.openai import OpenAIDouble
from tests.examples import readme
from tests.functional.processes import Process, serving
from tests.support.client import Client
from tests.support.processes import ROOT
from tests.support.sse import Event

FOLDER = ROOT / "examples/agents"
BOUND = 10  # seconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Model(OpenAIDouble):
    """Calls a tool before it answers, if the prompt speaks of the time."""

    async def generate(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        last = body["messages"][-1]
        if last["role"] != "user" or "time" not in last["content"]:
            return await super().generate(request)
        self.requests.append(body)
        [offered] = body["tools"]
        function = {"name": offered["function"]["name"], "arguments": "{}"}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        for delta, reason in (({"role": "assistant", "tool_calls": [call]}, None), ({}, "tool_calls")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            await response.write(self._event(choices=[choice]))
        await response.write(b"data: [DONE]\n\n")
        return response


class Running(NamedTuple):
    """A server with one of the agents, and the model that it asks."""

    client: Client
    model: Model
    process: Process


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """The server that the command of the README starts."""
    [command] = readme.commands(request.param.stem)
    assert command.env["TAILRACE_AGENTS"] in request.param.read_text(encoding="utf-8")
    async with Model() as model:
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            patch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
            patch.setenv("OPENAI_MODEL", "double")
            patch.setenv("PYTHONPATH", str(ROOT))
            settings = {"AGENTS": command.env["TAILRACE_AGENTS"], "SCRIPTED": "0"}
            starting = serving(tmp_path_factory.mktemp("server"), command.folder, **settings)
            process = await asyncio.to_thread(stack.enter_context, starting)
            async with Client(process.url) as client:
                yield Running(client, model, process)


def text(events: list[Event]) -> str:
    """Return the answer."""
    return "".join(event.data["text"] for event in events if event.name == "token")


async def test_it_answers_with_the_history(running: Running) -> None:
    """The model gets the system prompt, both prompts, the first answer and the options."""
    client, model, process = running
    options: dict[str, Any] = {"system": "Be brief.", "temperature": 0.5, "stop": ["!"], "seed": 7}
    first = await client.ask("history", "And what does the river do?")
    events = await client.ask("history", "And the wheel?", options=options)
    said = "The river turns the wheel and flows on."
    assert (text(first), text(events)) == (said, said), process.log
    assert sum(event.data["count"] for event in events if event.name == "token") > 1, "it comes in pieces"
    end = events[-1].data
    assert (end["outcome"], end["completion_tokens"], end["upstream_closed"]) == ("complete", 8, True)
    sent = model.requests[-1]
    assert [(each["role"], each["content"]) for each in sent["messages"]] == [
        ("system", "Be brief."),
        ("user", "And what does the river do?"),
        ("assistant", said),
        ("user", "And the wheel?"),
    ]
    assert (sent["temperature"], sent["stop"], sent["seed"]) == (0.5, ["!"], 7)


async def test_it_uses_its_tool(running: Running) -> None:
    """What it does is shown as a note; the tool's result goes to the model, whose answer follows."""
    client, model, _ = running
    events = await client.ask("tool", "What time is it?")
    notes = [event.data["note"] for event in events if event.name == "status" and "note" in event.data]
    assert notes == ["Using now…"]
    assert text(events) == "The river turns the wheel and flows on."
    result = model.requests[-1]["messages"][-1]
    assert result["role"] == "tool"
    assert re.fullmatch(r"\w+, \d\d \w+ 20\d\d, \d\d:\d\d \w+", result["content"])


async def test_a_stop_reaches_the_model(running: Running) -> None:
    """Its connection is closed by the time that the stop has its answer."""
    client, model, _ = running
    registered = await client.post("stop", "fault=hang-middle")
    async with client.events(f"/api/streams/{registered['stream_id']}/events") as events:
        async for event in events:
            if event.name == "token":
                break
    stopped = await client.stop(registered["stream_id"])
    assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", True)
    await asyncio.wait_for(model.last.aborted.wait(), BOUND)


async def test_a_model_server_that_refuses(running: Running) -> None:
    """Its own words are not shown to the user, and no traceback is logged."""
    client, _, process = running
    end = (await client.ask("refused", "fault=unauthorised"))[-1].data
    assert (end["outcome"], end["error"]["code"]) == ("failed", "agent_failed")
    assert end["error"]["message"] == "The model server failed. Try again in a minute."
    assert "agent_crashed" not in process.log
