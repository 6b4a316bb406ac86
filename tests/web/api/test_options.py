"""Options: those of a prompt, those that a session keeps, and what of them reaches the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.chat.ports import Options
from tests.doubles.ollama import OllamaDouble
from tests.support.server import serve
from tests.web.stage import Stage, problem


async def options(stage: Stage, session_id: str = "s1") -> dict[str, Any]:
    """The options that a session keeps."""
    found: dict[str, Any] = (await stage.client.get(f"/api/sessions/{session_id}"))["options"]
    return found


async def asked(stage: Stage, number: int) -> Options:
    """The options of the `number`th generation."""
    generation = await stage.opened(number)
    generation.finish()
    await stage.settled()
    return generation.request.options


async def test_the_model_reads_the_system_prompt_once(tmp_path: Path) -> None:
    """It stands before everything else, and nowhere else."""
    async with (
        OllamaDouble() as double,
        serve(tmp_path, ollama_url=double.url, default_model="ollama/double") as live,
    ):
        await live.client.ask("s1", "hello", options={"system": "Be brief."})
    roles = [message["role"] for message in double.requests[0]["messages"]]
    assert roles == ["system", "user"]


async def test_a_session_keeps_the_options_that_a_prompt_asks_it_to(stage: Stage) -> None:
    """`remember` keeps them for every later prompt, in the place of those before; else they are for one answer only."""
    await stage.client.post("s1", "one", options={"temperature": 0.5}, remember=True)
    assert await asked(stage, 1) == Options(temperature=0.5)
    await stage.client.post("s1", "two", options={"seed": 7})
    assert await asked(stage, 2) == Options(temperature=0.5, seed=7)
    assert await options(stage) == {"temperature": 0.5}
    await stage.client.post("s1", "three", options={"top_p": 1}, remember=True)
    assert await asked(stage, 3) == Options(top_p=1)
    assert await options(stage) == {"top_p": 1}


async def test_the_options_of_a_request_go_before_those_of_the_session(stage: Stage) -> None:
    """Field by field."""
    await stage.client.post("s1", "one", options={"temperature": 0.5, "system": "Brief."}, remember=True)
    await asked(stage, 1)
    await stage.client.post("s1", "two", options={"temperature": 0, "system": ""})
    generation = await stage.opened(2)
    assert generation.request.options == Options(temperature=0, system="")
    assert [message.role for message in generation.request.messages] == ["user", "assistant", "user"]


async def test_options_are_changed_with_the_session(stage: Stage) -> None:
    """PATCH takes a title, options, or both; a request with neither is refused, and so are options that are none."""
    await stage.answer("s1", "hello", "Hi")
    for body in ({"options": {"seed": 1}}, {"title": "Better", "options": {"seed": 2}}):
        async with stage.http.patch("/api/sessions/s1", json=body) as response:
            assert response.status == 200
            assert (await response.json())["options"] == body["options"]
    assert (await stage.client.get("/api/sessions/s1"))["title"] == "Better"
    for wrong in ({}, {"options": {"temperature": 9}}, {"options": {"nonsense": 1}}):
        async with stage.http.patch("/api/sessions/s1", json=wrong) as response:
            await problem(response, 422, "invalid_request")
    assert await options(stage) == {"seed": 2}
