"""Hostile model servers: whatever they send, others are served, memory stays bounded, and nothing odd is stored."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.doubles.hostile import CHATS, DETAILS, LISTS
from tests.functional.processes import Process, serving
from tests.support.hostile import MIB, suffering
from tests.support.processes import ROOT, environment
from tests.support.waiting import until_told

KEY = "sk-proj-A1b2C3d4E5f6G7h8I9j0"
BOUND = 120.0  # s
SEEN = "/api/sessions?limit=1"  # what others ask for meanwhile: it is read from the database, in a thread
EACH_LIST = 8 * MIB
ASKED = 6  # models of each hostile Ollama that are prompted at once, so that their details are waited for
# Answers that end by themselves. Of the others nothing more comes than is allowed: they fail, or wait for more.
COMPLETE = {
    *("letters", "lists", "invalid", "reason", "fields-long", "digits"),
    *("usage-negative", "usage-huge", "usage-floats", "usage-nan"),
}
SLOW = {"lists", "deltas"}  # each event costs so much that a full attack takes a minute
QUICK = sorted(CHATS.keys() - SLOW)


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    """The address of the attackers."""
    command = [sys.executable, "-m", "tests.doubles.hostile"]
    with subprocess.Popen(command, cwd=ROOT, env=environment({}), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.kill()


@pytest.fixture(scope="module")
def server(hostile: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with one model of theirs, and a key. No attack makes it log a traceback."""
    folder = tmp_path_factory.mktemp("attacked")
    with serving(folder, OPENAI_URL=f"{hostile}/good/v1", OPENAI_API_KEY=KEY, TOKEN_TIMEOUT="5") as process:
        yield process
        assert "Traceback" not in process.log
        assert KEY not in process.log


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=BOUND)) as http:
        yield http


async def ended(
    http: aiohttp.ClientSession, server: Process, session: str, prompt: str, model: str = "openai/m"
) -> dict[str, Any]:
    """Send a prompt and return the data of its `end`."""
    body = {"prompt": prompt, "model": model}
    async with http.post(f"{server.url}/api/sessions/{session}/streams", json=body) as response:
        assert response.status == 201, await response.text()
        stream = await response.json()
    async with http.get(server.url + stream["events_url"]) as events:
        found: dict[str, Any] = {}
        async for line in events.content:
            if line.startswith(b"data:") and b'"outcome"' in line:
                found = json.loads(line[5:])
        return found


@pytest.mark.parametrize("attack", QUICK)
async def test_answers(http: aiohttp.ClientSession, server: Process, attack: str) -> None:
    """Four at once: others hardly notice, each has its end, and the chat can be exported and imported again."""
    numbers = itertools.count()
    async for attempt in suffering(server.pid, server.url, SEEN):
        async with attempt:
            sessions = [f"{attack}-{next(numbers)}" for _ in range(4)]
            ends = await asyncio.gather(*(ended(http, server, each, f"attack={attack}") for each in sessions))
        for end in ends:
            assert end["outcome"] == ("complete" if attack in COMPLETE else "failed"), end
            assert len(json.dumps(end)) < 2000
            assert 0 <= end["completion_tokens"] < 2**53
        await exported_and_imported(http, server, sessions[0])


async def exported_and_imported(http: aiohttp.ClientSession, server: Process, session: str) -> None:
    async with http.get(f"{server.url}/api/sessions/{session}/export") as response:
        archive = await response.read()
    headers = {"Content-Type": "application/json"}
    async with http.post(f"{server.url}/api/sessions/import", data=archive, headers=headers) as response:
        assert response.status == 201, await response.text()
    assert KEY.encode() not in archive


@pytest.mark.parametrize("attack", ["line", "base64", "comments", "empty-data"])
async def test_forty_at_once(http: aiohttp.ClientSession, server: Process, attack: str) -> None:
    """Forty floods of one server share their turns and their memory."""
    numbers = itertools.count()
    async for attempt in suffering(server.pid, server.url, SEEN):
        async with attempt:
            sessions = [f"{attack}-of-40-{next(numbers)}" for _ in range(40)]
            ends = await asyncio.gather(*(ended(http, server, each, f"attack={attack}") for each in sessions))
        assert {end["outcome"] for end in ends} == {"failed"}


SHOWN = {"long", "odd", "many"}  # servers with models that can be shown


async def listed_at_last(http: aiohttp.ClientSession, process: Process) -> list[dict[str, Any]]:
    """Return the models once each server's list has come or is given up, and those that can be shown have come.

    On a busy machine a list may take longer than the server waits for it, so all are asked for again.
    """
    found: dict[str, Any] = {}

    async def known() -> bool:
        async with http.get(f"{process.url}/api/models") as response:
            found.update(await response.json())
        if any("has not answered yet" in each["message"] for each in found["unreachable"]):
            return False
        if {model["backend"] for model in found["models"]} >= SHOWN:
            return True
        async with http.get(f"{process.url}/models?refresh=1") as response:
            assert response.status == 200
        return False

    await until_told(known, within=BOUND)
    models: list[dict[str, Any]] = found["models"]
    return models


@pytest.mark.timeout(300)
async def test_lists(
    http: aiohttp.ClientSession, hostile: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All hostile lists at once, again and again: others hardly notice, and what can be shown is listed."""
    folder = tmp_path_factory.mktemp("lists")
    tables = [f'[servers.{name}]\nurl = "{hostile}/{name}/v1"\nkey = "{KEY}"\n' for name in LISTS]
    (folder / "servers.toml").write_text("\n".join(tables), encoding="utf-8")
    with serving(folder, CONFIG=str(folder / "servers.toml")) as process:
        listed = []
        async for attempt in suffering(process.pid, process.url, SEEN, memory=len(LISTS) * EACH_LIST):
            async with attempt:
                for _ in range(3):
                    async with http.get(f"{process.url}/models?refresh=1") as response:
                        assert response.status == 200
                        assert len(await response.text()) < 100_000
                listed = await listed_at_last(http, process)
                async with http.get(process.url) as response:
                    assert len(await response.read()) < 200_000
        assert "Traceback" not in process.log
        names = [model["name"] for model in listed if model["backend"] != "scripted"]
        assert all(len(name) <= 256 and name.isprintable() for name in names)
        assert [model["name"] for model in listed if model["backend"] in ("long", "odd")] == ["fine", "fine"]
        assert sum(model["backend"] == "many" for model in listed) == 5000


@pytest.mark.timeout(300)
async def test_details(
    http: aiohttp.ClientSession, hostile: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Servers like Ollama with hostile details of each model: others hardly notice, and all can be prompted."""
    folder = tmp_path_factory.mktemp("details")
    tables = [f'[servers.{name}]\nurl = "{hostile}/{name}"\napi = "ollama"\n' for name in DETAILS]
    (folder / "servers.toml").write_text("\n".join(tables), encoding="utf-8")
    numbers = itertools.count()
    with serving(folder, CONFIG=str(folder / "servers.toml")) as process:
        async for attempt in suffering(process.pid, process.url, SEEN):
            async with attempt:
                async with http.get(f"{process.url}/models?refresh=1") as response:
                    assert response.status == 200
                for name in DETAILS:
                    each = [f"{name}/m{next(numbers)}" for _ in range(ASKED)]
                    sessions = [f"of-{next(numbers)}" for _ in each]
                    asked = zip(sessions, each, strict=True)
                    ends = await asyncio.gather(
                        *(ended(http, process, session, "Hi", model) for session, model in asked)
                    )
                    assert {end["outcome"] for end in ends} == {"complete"}, name
        assert "Traceback" not in process.log
