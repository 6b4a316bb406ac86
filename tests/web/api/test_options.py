"""Options: those of a prompt, those that a session keeps, and what of them reaches the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.chat.ports import Options
from app.web.rules import SYSTEM_BYTES
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


async def test_a_long_system_prompt_is_refused(stage: Stage) -> None:
    """With its bound, wherever it is sent; a form is shown again with what was typed. Nothing is kept."""
    await stage.answer("s1", "hello", "Hi")
    system = "ä" * (SYSTEM_BYTES // 2 + 1)
    options = {"system": system}
    body = {"prompt": "go on", "options": options, "remember": True}
    async with stage.http.post("/api/sessions/s1/streams", json=body) as response:
        assert str(SYSTEM_BYTES) in (await problem(response, 413, "system_too_long"))["detail"]
    async with stage.http.patch("/api/sessions/s1", json={"options": options}) as response:
        await problem(response, 413, "system_too_long")
    form = {"prompt": "go on, please", "system": system}
    headers = {"Accept": "text/html"}
    async with stage.http.post("/api/sessions/s1/streams", data=form, headers=headers) as response:
        page = await response.text()
        assert response.status == 413
    assert page.count(system) == 1
    assert "go on, please" in page
    assert str(SYSTEM_BYTES) in page
    assert "system" not in (await stage.client.get("/api/sessions/s1"))["options"]
    async with stage.http.patch("/api/sessions/s1", json={"options": {"system": system[1:]}}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("stops", "code"), [(["x"] * 17, "invalid_stop"), (["x" * 501], "stop_too_long")], ids=["many", "long"]
)
async def test_stop_sequences_have_bounds(stage: Stage, stops: list[str], code: str) -> None:
    """In number and in length."""
    body = {"prompt": "hello", "options": {"stop": stops}}
    async with stage.http.post("/api/sessions/s1/streams", json=body) as response:
        await problem(response, 422, code)


async def test_the_list_of_chats_has_a_bound_in_bytes(stage: Stage) -> None:
    """System prompts are part of it: what does not fit comes with the next part, and every chat comes once."""
    for number in range(20):
        await stage.client.post(f"s{number}", "hello", if_active="supersede")
        system = {"options": {"system": "x" * SYSTEM_BYTES}}
        async with stage.http.patch(f"/api/sessions/s{number}", json=system) as response:
            assert response.status == 200
    page = await stage.client.get("/api/sessions?limit=200")
    found = [session["session_id"] for session in page["sessions"]]
    assert 0 < len(found) < 20
    while page["next"] is not None:
        page = await stage.client.get(f"/api/sessions?limit=200&after={quote(page['next'])}")
        found += [session["session_id"] for session in page["sessions"]]
    assert sorted(found) == sorted(f"s{number}" for number in range(20))
