"""docs/api.md by its word: each of its programs is run as it stands there."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.web.routes import document
from tests.machine import need
from tests.support.processes import ROOT
from tests.support.server import LiveServer, serve

DOCUMENT = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def program(language: str) -> str:
    """Return the first program in a language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LiveServer]:
    async with serve(tmp_path, default_model="scripted/short") as live:
        yield live


async def test_the_shell_programs_work(server: LiveServer) -> None:
    """Curl lists the models, asks and reads the answer as it comes, and gets the session."""
    need("curl")
    script = program("sh").replace("http://127.0.0.1:8080", server.url)
    process = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    models, _, rest = output.decode().partition("retry: 2000")
    assert json.loads(models)["default"] == "scripted/short"
    events, _, session = rest.rpartition("\n\n")
    names = re.findall(r"^event: (\w+)$", events, re.MULTILINE)
    assert (names[0], names[-1]) == ("start", "end")
    assert set(names[1:-1]) == {"status", "token"}
    assert [message["role"] for message in json.loads(session)["messages"]] == ["user", "assistant"]


async def test_the_python_program_works(server: LiveServer) -> None:
    """It yields the answer, and raises what a failed one says."""
    names: dict[str, Any] = {}
    exec(compile(program("python"), "docs/api.md", "exec"), names)
    text = "".join([piece async for piece in names["ask"](server.url, "demo", "Say hello")])
    messages = (await server.client.get("/api/sessions/demo"))["messages"]
    assert text == messages[-1]["content"] != ""


async def test_the_python_program_reads_long_events(tmp_path: Path) -> None:
    """What a model server sends at once is one event, and a line of JSON."""
    names: dict[str, Any] = {}
    exec(compile(program("python"), "docs/api.md", "exec"), names)
    prompt = "\u0001" * 150_000  # six bytes each in JSON
    async with serve(tmp_path, default_model="scripted/echo") as server:
        text = "".join([piece async for piece in names["ask"](server.url, "demo", prompt)])
    assert text == prompt


def test_each_address_that_it_names_exists() -> None:
    """And none has another method."""
    paths = document()["paths"]
    named = re.findall(r"`(GET|POST|DELETE) (/api/[^`?]+)`", DOCUMENT)
    assert named
    for method, path in named:
        assert method.lower() in paths[path], path


def test_it_has_each_event_with_its_fields() -> None:
    """The table of events names those of the OpenAPI document, and of each the fields that it has."""
    components = document()["components"]["schemas"]
    answer = document()["paths"]["/api/streams/{stream_id}/events"]["get"]["responses"]["200"]
    for name, schema in answer["content"]["text/event-stream"]["x-events"].items():
        row = re.search(rf"^\| `{name}` \| (.*?) \|", DOCUMENT, re.MULTILINE)
        assert row is not None, name
        fields = components[schema["$ref"].rpartition("/")[2]]["properties"]
        told = re.findall(r"`(\w+)`", row[1])
        assert set(told) <= set(fields)
        if not row[1].endswith("…"):
            assert set(told) == set(fields)
