"""Continuing, at the model servers: what each is sent, and that what comes back goes on from there."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from app.backends.embedded.backend import MODEL, EmbeddedBackend
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedBackend
from app.backends.scripted.scripts import SCRIPTS
from app.chat.errors import UpstreamRejected
from app.chat.ports import Backend, ChatMessage, Delta, Generation, Options, Request
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble

BEGUN = "The river turns "
ASKED = [ChatMessage("user", "Tell me."), ChatMessage("assistant", BEGUN)]
SENT = {"role": "assistant", "content": "The river turns"}


async def tokens(generation: Generation) -> list[str]:
    """Return the tokens of an answer."""
    found: list[str] = []
    while deltas := await generation.read():
        found += [text for delta in deltas if isinstance(delta, Delta) for text in delta.texts]
    return found


async def text(generation: Generation) -> str:
    """Return all of an answer."""
    return "".join(await tokens(generation))


async def test_ollama_goes_on_with_a_message_of_the_assistant() -> None:
    """It is the last one; nothing else is said of it."""
    async with OllamaDouble() as double:
        backend = OllamaBackend(double.url)
        assert {model.continues for model in await backend.models()} == {True}
        assert BEGUN + await text(backend.generate(Request("double", ASKED))) == (
            "The river turns the wheel and flows on."
        )
        await backend.aclose()
    assert double.requests[0]["messages"][-1] == SENT


def owned_by(owner: str) -> OpenAIDouble:
    """A server of that maker."""
    double = OpenAIDouble()
    double.models = ({"id": "double", "object": "model", "created": 1, "owned_by": owner},)
    return double


@pytest.mark.parametrize(
    ("owner", "extra"),
    [
        ("llamacpp", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_openai_servers_that_can(owner: str, extra: dict[str, Any], listed: bool) -> None:
    """Each is asked in its own way, whether or not its models were listed before."""
    async with owned_by(owner) as double:
        backend = OpenAIBackend(double.url)
        if listed:
            assert [model.continues for model in await backend.models()] == [True]
        assert BEGUN + await text(backend.generate(Request("double", ASKED))) == (
            "The river turns the wheel and flows on."
        )
        await text(backend.generate(Request("double", ASKED[:1])))
        await backend.aclose()
    continued, plain = double.requests
    assert continued["messages"][-1] == SENT
    assert {name: continued[name] for name in continued.keys() - plain.keys()} == extra


async def test_openai_servers_that_cannot() -> None:
    """They would begin anew: nothing is sent to them."""
    async with owned_by("openai") as double:
        backend = OpenAIBackend(double.url)
        with pytest.raises(UpstreamRejected, match="can't continue an answer"):
            await text(backend.generate(Request("double", ASKED)))
        assert [model.continues for model in await backend.models()] == [False]
        await backend.aclose()
    assert not double.requests


@pytest.mark.parametrize(
    ("name", "begun"),
    [
        ("long", "The"),
        ("long", "The river turns the wh"),
        ("long", "The river turns the wheel, "),
        ("reasoning", "It is"),
    ],
)
async def test_scripts_go_on_after_the_text(name: str, begun: str) -> None:
    """Whatever place they are taken up at; they do not think again."""
    backend = ScriptedBackend(SCRIPTS, hurry=1e6)
    rest = await text(backend.generate(Request(name, [ASKED[0], ChatMessage("assistant", begun)])))
    assert begun + rest == (SCRIPTS[name].text or "") * SCRIPTS[name].repeat


@pytest.fixture
async def embedded() -> Any:
    """The real model."""
    backend = EmbeddedBackend(logger=structlog.get_logger())
    yield backend
    await backend.aclose()


@pytest.mark.slow
@pytest.mark.timeout(300)  # two hundred tokens of a model, on whatever machine
async def test_the_embedded_model_goes_on_to_the_letter(embedded: Backend) -> None:
    """Broken off after any of its tokens, also in the middle of white space, it ends as the unbroken answer does."""
    asked = ChatMessage("user", "Write a Python function that adds two numbers, with a loop.")

    def ask(*messages: ChatMessage) -> Generation:
        return embedded.generate(Request(MODEL, messages, Options(temperature=0, seed=1, max_tokens=40)))

    whole = await tokens(ask(asked))
    spaces = [place for place, token in enumerate(whole, start=1) if token.isspace()]
    for place in (1, len(whole) // 2, *spaces[:4]):
        begun = "".join(whole[:place])
        rest = await text(ask(asked, ChatMessage("assistant", begun)))
        assert (begun + rest).startswith("".join(whole)), begun
