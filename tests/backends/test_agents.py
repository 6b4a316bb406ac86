"""Agents: what they get, what their pieces become, and what their mistakes come to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from app.agent import Agent, Chat, Failed, Image, Message, Note, Options, Piece, Reasoning, Usage, described
from app.backends.agents import loading
from app.backends.agents.backend import AgentBackend
from app.backends.agents.chats import MOST_BYTES, chat_of
from app.backends.agents.generation import AHEAD, BLOCKED, TEXT
from app.chat import contents, ports
from app.chat.errors import AgentCrashed, AgentFailed, ImageNotFound, ModelMissing, UpstreamTruncated
from app.chat.ports import ChatMessage, Delta, Generation, Request
from tests.support.processes import ROOT
from tests.support.request_images import PICTURE, load_of
from tests.support.waiting import until


def generation(agent: Agent, request: Request | None = None) -> Generation:
    """An answer of this agent."""
    backend = AgentBackend({"one": agent}, logger=structlog.get_logger())
    return backend.generate(request or Request("one", [ChatMessage("user", "Hello")]))


async def pieces(agent: Agent) -> list[ports.Piece]:
    """All that an answer of this agent has."""
    answer = generation(agent)
    found: list[ports.Piece] = []
    while more := await answer.read():
        found += more
    return found


async def test_an_agent_gets_the_chat() -> None:
    """Messages with images, options, and who asks where; the id of the session is the one that its owner knows."""
    got: list[Chat] = []

    async def agent(chat: Chat) -> AsyncGenerator[Piece, None]:
        got.append(chat)
        yield "Hello"

    request = Request(
        "one",
        [ChatMessage("system", "Be brief."), ChatMessage("user", "What is it?", (PICTURE,))],
        ports.Options(temperature=0.5, stop=["END"], system="Be brief."),
        headers={"traceparent": "00-1"},
        owner="alice",
        session_id="alice/s1",
        stream_id="t1",
        load=load_of(b"png"),
    )
    assert [piece async for piece in _read(generation(agent, request))] == [Delta("token", ["Hello"])]
    assert got == [
        Chat(
            messages=(
                Message("system", "Be brief."),
                Message("user", "What is it?", (Image("image/png", b"png"),)),
            ),
            options=Options(temperature=0.5, stop=("END",)),
            session_id="s1",
            stream_id="t1",
            owner="alice",
            headers={"traceparent": "00-1"},
        )
    ]
    assert got[0].prompt == "What is it?"


async def test_older_images_are_left_out() -> None:
    """Those of the newest message come whatever their size. An image of several messages counts once."""
    loaded: list[str] = []

    async def load(image_id: str) -> ports.ImageData:
        loaded.append(image_id)
        return ports.ImageData("image/png", image_id.encode())

    def sent(*images: tuple[str, int]) -> ChatMessage:
        return ChatMessage(
            "user", "Look", tuple(contents.Image(name, "image/png", size) for name, size in images)
        )

    half = MOST_BYTES // 2
    for messages, expected in (
        ([sent(("old", 1)), sent(("new", 2 * MOST_BYTES))], [[], ["new"]]),
        ([sent(("a", half)), sent(("b", half)), sent(("c", half))], [[], ["b"], ["c"]]),
        ([sent(("a", half)), sent(("b", 1)), sent(("a", half)), sent()], [["a"], ["b"], ["a"], []]),
        ([sent(("a", 1)), sent(("b", half + 1)), sent(("c", half))], [[], [], ["c"]]),
    ):
        loaded.clear()
        chat = await chat_of(Request("one", messages, load=load))
        assert [[image.data.decode() for image in message.images] for message in chat.messages] == expected
        assert sorted(loaded) == sorted({name for names in expected for name in names})


async def test_an_image_that_cannot_be_loaded() -> None:
    """Its error is that of the answer, and the agent does not begin."""
    began = False

    async def agent(_: Chat) -> AsyncGenerator[Piece, None]:
        nonlocal began
        began = True
        yield "Hello"

    answer = generation(agent, Request("one", [ChatMessage("user", "", (PICTURE,))]))
    with pytest.raises(ImageNotFound):
        await answer.read()
    await answer.wait_closed()
    assert not began


async def _read(answer: Generation) -> AsyncGenerator[ports.Piece, None]:
    while more := await answer.read():
        for piece in more:
            yield piece


async def test_pieces_keep_their_order() -> None:
    """Notes stand between the texts; texts of one kind that come together are one delta; usage is told at the end."""

    async def agent(chat: Chat) -> AsyncGenerator[Piece, None]:
        yield Note("Searching…")
        yield Reasoning("Hm")
        yield Reasoning(".")
        yield ""
        yield "One"
        yield " two"
        yield Note("Reading…")
        yield "three"
        yield Usage(-1, 7)
        yield Usage(len(chat.messages), 3)

    answer = generation(agent)
    found = [piece async for piece in _read(answer)]
    assert found == [
        ports.Note("Searching…"),
        Delta("reasoning", ["Hm", "."]),
        Delta("token", ["One", " two"]),
        ports.Note("Reading…"),
        Delta("token", ["three"]),
    ]
    assert answer.usage == ports.Usage(1, 3)
    assert answer.finish_reason == "stop"


async def test_a_long_text_is_taken_as_several() -> None:
    """So that no event has more than it should."""

    async def agent(chat: Chat) -> AsyncGenerator[Piece, None]:
        yield chat.prompt * TEXT

    deltas = [piece for piece in await pieces(agent) if isinstance(piece, Delta)]
    texts = [text for delta in deltas for text in delta.texts]
    assert {len(text) for text in texts} == {TEXT}
    assert "".join(texts) == "Hello" * TEXT


async def test_an_agent_waits_for_its_reader() -> None:
    """One that yields without any wait is not far ahead of what is read."""
    yielded = 0

    async def agent(_: Chat) -> AsyncGenerator[Piece, None]:
        nonlocal yielded
        while True:
            yielded += 1
            yield "on"

    answer = generation(agent)
    await answer.read()
    await until(lambda: yielded >= AHEAD)
    for _ in range(20):
        await asyncio.sleep(0)
    assert yielded <= 2 * AHEAD
    answer.abort()
    await answer.wait_closed()


@pytest.mark.parametrize("waits", [True, False])
async def test_what_an_agent_opened_is_closed(waits: bool) -> None:
    """A stop reaches it where it waits and where it yields; its clean-up may await, and is waited for."""
    steps: list[str] = []

    async def agent(_: Chat) -> AsyncGenerator[Piece, None]:
        try:
            while True:
                yield "on"
                if waits:
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise
        except GeneratorExit:
            steps.append("closed")
            raise
        finally:
            await asyncio.sleep(0)
            steps.append("clean")

    answer = generation(agent)
    await answer.read()
    for _ in range(3):
        await asyncio.sleep(0)
    answer.abort()
    await answer.wait_closed()
    assert steps == ["cancelled" if waits else "closed", "clean"]
    with pytest.raises(UpstreamTruncated):
        await answer.read()


async def test_a_failure_is_a_sentence() -> None:
    """One line, bounded; the text before it comes first."""

    async def agent(_: Chat) -> AsyncGenerator[Piece, None]:
        yield "One"
        raise Failed("The library\nis closed. " + "Come back tomorrow. " * 100)

    answer = generation(agent)
    assert await answer.read() == [Delta("token", ["One"])]
    with pytest.raises(AgentFailed):
        await answer.read()
    with pytest.raises(AgentFailed, match=r"^The library is closed\. Come back") as caught:
        await answer.read()
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("mistake", ["raises", "exits", "yields", "cancels", "never"])
async def test_a_mistake_is_for_the_log(mistake: str) -> None:
    """The user reads that the agent failed, the operator why; the server goes on."""

    async def agent(chat: Chat) -> AsyncGenerator[Any, None]:
        if mistake == "raises":
            raise ValueError("a secret")
        if mistake == "exits":
            sys.exit(1)
        if mistake == "cancels":
            raise asyncio.CancelledError
        yield {"a": 1} if mistake == "yields" else chat.prompt.undefined  # type: ignore[attr-defined]

    answer = generation(agent)
    with capture_logs() as logs:
        with pytest.raises(AgentCrashed, match=r"^The agent one failed") as caught:
            await answer.read()
        await answer.wait_closed()
    assert "secret" not in str(caught.value)
    assert [line["event"] for line in logs] == ["agent_crashed"]


async def test_one_that_refuses_to_close_is_told() -> None:
    """An agent that yields in its clean-up is left; the log says so."""

    async def agent(_: Chat) -> AsyncGenerator[Piece, None]:
        while True:
            try:
                yield "on"
            except GeneratorExit:
                yield "and on"

    answer = generation(agent)
    with capture_logs() as logs:
        await answer.read()
        for _ in range(3):
            await asyncio.sleep(0)
        answer.abort()
        await answer.wait_closed()
    assert [str(line["exc_info"]) for line in logs] == ["async generator ignored GeneratorExit"]


async def test_one_that_blocks_the_loop_is_told() -> None:
    """Once in an answer, with a mend."""

    async def agent(chat: Chat) -> AsyncGenerator[Piece, None]:
        for _ in ("one", "two"):
            await asyncio.sleep(0)
            time.sleep(BLOCKED * 1.2)  # noqa: ASYNC251 - that is the mistake
            yield chat.prompt

    with capture_logs() as logs:
        await pieces(agent)
    assert [(line["event"], line["agent"]) for line in logs] == [("agent_blocked", "one")]
    assert "asyncio.to_thread" in logs[0]["advice"]


async def test_an_agent_describes_itself() -> None:
    """What it says is what the model list has."""

    @described(continues=True, images=False, context=4096)
    async def careful(chat: Chat) -> AsyncGenerator[Piece, None]:
        yield chat.prompt

    async def plain(chat: Chat) -> AsyncGenerator[Piece, None]:
        yield chat.prompt

    backend = AgentBackend({"careful": careful, "plain": plain}, logger=structlog.get_logger())
    one, two = await backend.models()
    assert (one.model_id, one.context, one.continues, one.vision) == ("agent/careful", 4096, True, False)
    assert (two.model_id, two.continues, two.vision) == ("agent/plain", False, True)
    with pytest.raises(ModelMissing, match="There is no agent named 'other'"):
        await backend.generate(Request("other", [])).read()


MODULE = """
async def answer(chat):
    yield "Hello"

async def coroutine(chat):
    return "Hello"

def plain(chat):
    return "Hello"

class Agent:
    async def __call__(self, chat):
        yield "Hello"
    async def method(self, chat):
        yield "Hello"

called = Agent()
number = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with agents and others."""
    name = f"agents_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import json\n\njson.loads('{')\n")
    (tmp_path / f"{name}_lacking.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_agents_are_found_by_name(module: str) -> None:
    """By their own, or the one that is given."""
    entries = [f"{module}:answer", f"two={module}:called", f"{module}:called.method"]
    assert list(loading.load(entries)) == ["answer", "two", "method"]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("MODULE:nobody", "MODULE has no 'nobody'"),
        (
            "MODULE:coroutine",
            "is a coroutine function without `yield`; an agent is an async generator function",
        ),
        ("MODULE:plain", "is a plain function; an agent is an async generator function"),
        ("MODULE:Agent", "is a class; "),
        ("MODULE:number", "is of type int; "),
        ("MODULE_absent:answer", "there is no module 'MODULE_absent'. Start Tailrace in its folder"),
        ("MODULE_broken:answer", "line 3): JSONDecodeError: Expecting property name"),
        (
            "MODULE_lacking:answer",
            "line 1): ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        ),
    ],
)
def test_what_is_no_agent_is_told(module: str, entry: str, sentence: str) -> None:
    """With the reason, and what to do about it."""
    with pytest.raises(loading.AgentUnusable) as caught:
        loading.load([entry.replace("MODULE", module)])
    assert sentence.replace("MODULE", module) in str(caught.value)


def test_two_agents_of_one_name_are_told(module: str) -> None:
    """With the way to tell them apart."""
    with pytest.raises(loading.AgentUnusable, match=r"two agents have the name 'answer'\. Name one of them"):
        loading.load([f"{module}:answer", f"answer={module}:called"])


def test_the_module_for_agents_pulls_in_no_server() -> None:
    """An agent's own tests need no more than it."""
    code = (
        "import sys, app.agent; "
        "print([name for name in sys.modules if name.startswith(('app.', 'aiohttp', 'msgspec'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['app.agent']"
