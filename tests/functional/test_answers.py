"""Answers as real model servers write them, byte for byte, through a whole server over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.doubles.raw import RawDouble
from tests.support.server import LiveServer, serve
from tests.support.sse import text_of

CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads(Path(__file__).with_name("answers.json").read_text("utf-8"))
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def double() -> AsyncIterator[RawDouble]:
    """A model server that sends the bytes of a case."""
    async with RawDouble() as double:
        yield double


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(double: RawDouble, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server that knows the double as both kinds of model server."""
    settings: dict[str, Any] = {
        "openai_url": double.url,
        "openai_api_key": "sk-secret-key/+1",
        "ollama_url": double.url,
    }
    async with serve(tmp_path_factory.mktemp("data"), scripted=False, **settings) as live:
        yield live


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize("name", CASES)
async def test_an_answer(live: LiveServer, double: RawDouble, name: str, how: str) -> None:
    """Outcome, text, reasoning, reason and error are what is written beside the bytes, in events, API and page."""
    case = CASES[name]
    data = case["response"].encode("latin-1" if case.get("latin") else "utf-8")
    double.pieces = [data] if how == "whole" else [data[at : at + 1] for at in range(len(data))]
    double.resets = case.get("resets", False)
    session_id = f"{name}-{how}"
    model = f"{case.get('backend', 'openai')}/raw"
    events = await live.client.ask(session_id, "Hello", model=model)
    end = events[-1].data
    said = end.get("error", {}).get("message", "")
    assert (end["outcome"], text_of(events)) == (case["outcome"], case["text"]), said
    assert "".join(event.data["text"] for event in events if event.name == "reasoning") == case.get(
        "reasoning", ""
    )
    assert end["finish_reason"] == case.get(
        "finish_reason", "stop" if case["outcome"] == "complete" else None
    )
    assert case.get("error", "") in said
    assert "secret-key" not in said
    assert "Traceback" not in said

    answer = (await live.client.get(f"/api/sessions/{session_id}"))["messages"][1]
    assert (answer["content"], answer["outcome"]) == (case["text"], case["outcome"])
    assert answer["finish_reason"] == end["finish_reason"]
    page = await (await live.client.http.get(f"/sessions/{session_id}")).text()
    assert case.get("page", "") in unescape(page)
