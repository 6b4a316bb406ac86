"""An agent as docs/agents.md has it, in a server of its own process: found, asked, stopped."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.functional.processes import serving
from tests.support.client import Client
from tests.support.processes import ROOT, environment
from tests.support.waiting import until

DOCUMENT = (ROOT / "docs/agents.md").read_text(encoding="utf-8")
PAGES = {
    "pages": [{"title": "Wheel", "description": "A machine"}, {"title": "Mill", "description": "A house"}]
}


class Encyclopedia:
    """The server that the agent asks."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.waiting = 0

    async def search(self, request: web.Request) -> web.Response:
        """Answer with two pages, with an error, or not at all."""
        question = request.query["q"]
        self.questions.append(question)
        if question == "slow":
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        return web.Response(status=503) if question == "closed" else web.json_response(PAGES)


@pytest.fixture
async def encyclopedia() -> AsyncIterator[tuple[Encyclopedia, str]]:
    """It, and where it is."""
    known = Encyclopedia()
    app = web.Application()
    app.router.add_get("/search", known.search)
    server = TestServer(app)
    await server.start_server()
    yield known, str(server.make_url("/search"))
    await server.close()


@pytest.fixture
async def client(
    encyclopedia: tuple[Encyclopedia, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A client of a server that was started in the folder of the document's agent, by the document's setting."""
    code = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    (tmp_path / "my_agent.py").write_text(code, encoding="utf-8")
    setting = re.search(r"TAILRACE_AGENTS=(\S+)", DOCUMENT)
    assert setting is not None
    monkeypatch.setenv("SEARCH_URL", encyclopedia[1])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with ExitStack() as stack:
        process = await asyncio.to_thread(
            stack.enter_context, serving(tmp_path, tmp_path, AGENTS=setting[1], SCRIPTED="0")
        )
        async with Client(process.url) as client:
            yield client


async def test_it_answers_in_two_steps(client: Client, encyclopedia: tuple[Encyclopedia, str]) -> None:
    """It is the default where no other model is; its notes come before its text."""
    models = await client.get("/api/models")
    assert [(model["id"], model["vision"]) for model in models["models"]] == [("agent/wiki", True)]
    events = await client.ask("s1", "Water wheel")
    assert encyclopedia[0].questions == ["Water wheel"]
    notes = [event.data["note"] for event in events if event.name == "status" and "note" in event.data]
    assert notes == ["Searching…", "Reading…"]
    text = "".join(event.data["text"] for event in events if event.name == "token")
    assert text == "**Wheel**: A machine\n\n**Mill**: A house\n\n"
    assert (events[-1].data["outcome"], events[-1].data["upstream_closed"]) == ("complete", True)


async def test_its_sentence_is_shown(client: Client) -> None:
    """An answer that it gives up ends as failed, with what it says."""
    end = (await client.ask("s1", "closed", model="agent/wiki"))[-1].data
    assert (end["outcome"], end["error"]["code"]) == ("failed", "agent_failed")
    assert end["error"]["message"] == "Wikipedia doesn't answer. Try again in a minute."


async def test_a_stop_ends_what_it_waits_for(client: Client, encyclopedia: tuple[Encyclopedia, str]) -> None:
    """Its own request is closed by the time that the stop has its answer."""
    known, _ = encyclopedia
    registered = await client.post("s1", "slow")
    await until(lambda: known.waiting == 1)
    stopped = await client.stop(registered["stream_id"])
    assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", True)
    await until(lambda: known.waiting == 0)
    assert (await client.ask("s1", "again"))[-1].data["outcome"] == "complete"


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        ("nowhere:answer", "TAILRACE_AGENTS: nowhere:answer: there is no module 'nowhere'"),
        ("json:dumps", "TAILRACE_AGENTS: json:dumps is a plain function; an agent is an async generator"),
        ("my agent", "TAILRACE_AGENTS='my agent': expected agents as module:attribute"),
    ],
)
def test_a_server_without_its_agent_does_not_start(tmp_path: Path, agents: str, sentence: str) -> None:
    """It says why, in one line and without a traceback."""
    env = environment({"AGENTS": agents, "DATA_DIR": str(tmp_path), "PORT": "0"})
    found = subprocess.run(
        [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 2
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
