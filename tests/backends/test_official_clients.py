"""The doubles speak their protocols: the official clients of Ollama and OpenAI understand them."""

from __future__ import annotations

import ollama
import openai
import pytest

from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble

ANSWER = "The river turns the wheel and flows on."
MESSAGES = [{"role": "user", "content": "Tell me."}]


async def test_ollama_chat() -> None:
    """Ollama's client reads a streamed answer of the double: text, thinking, reason and counts."""
    async with OllamaDouble("reasoning") as double, ollama.AsyncClient(host=double.url) as client:
        parts = [part async for part in await client.chat(model="double", messages=MESSAGES, stream=True)]
    assert "".join(part.message.content or "" for part in parts) == ANSWER
    assert "".join(part.message.thinking or "" for part in parts) == " thought0 thought1 thought2"
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "stop", 8)


async def test_ollama_questions() -> None:
    """Ollama's client lists the double's models and reads what it shows of one."""
    async with OllamaDouble() as double, ollama.AsyncClient(host=double.url) as client:
        names = [model.model for model in (await client.list()).models]
        shown = await client.show("double:latest")
    assert names == ["double:latest", "other:1b"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["double.context_length"] == 4096


@pytest.mark.parametrize(("fault", "status"), [("missing-model", 404), ("server-error", 500), ("error", -1)])
async def test_ollama_errors(fault: str, status: int) -> None:
    """Ollama's client sees the double's errors as errors, also the one in the middle of an answer."""
    async with OllamaDouble(fault) as double, ollama.AsyncClient(host=double.url) as client:
        with pytest.raises(ollama.ResponseError) as caught:
            [part async for part in await client.chat(model="double", messages=MESSAGES, stream=True)]
    assert caught.value.status_code == status


def openai_client(double: OpenAIDouble, key: str = "secret-key") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{double.url}/v1", api_key=key, max_retries=0)


async def test_openai_chat() -> None:
    """OpenAI's client reads a streamed answer of the double: text, reason and usage."""
    async with OpenAIDouble(api_key="secret-key") as double, openai_client(double) as client:
        stream = await client.chat.completions.create(
            model="double",
            messages=[{"role": "user", "content": "Tell me."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == ANSWER
    assert choices[-1].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


async def test_openai_models() -> None:
    """OpenAI's client lists the double's models."""
    async with OpenAIDouble(api_key="secret-key") as double, openai_client(double) as client:
        assert [model.id async for model in client.models.list()] == ["double", "org/other"]


async def test_openai_errors() -> None:
    """OpenAI's client sees a wrong key and an error in the middle of an answer as errors."""
    async with OpenAIDouble("error", api_key="secret-key") as double:
        async with openai_client(double, "wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with openai_client(double) as client:
            stream = await client.chat.completions.create(
                model="double", messages=[{"role": "user", "content": "Tell me."}], stream=True
            )
            with pytest.raises(openai.APIError, match="the model ran out of memory"):
                [chunk async for chunk in stream]
