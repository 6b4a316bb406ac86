"""All backends together: what is listed, what a name means, and how often they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from app.backends.catalog import Catalog
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedBackend, ScriptedGeneration
from app.chat.errors import NoModels, UnknownModel, UpstreamUnauthorized, UpstreamUnreachable
from app.chat.ports import Backend, Model, ModelListing, Request, Unreachable
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble

NOBODY = "http://127.0.0.1:9"


class Told:
    """A backend that answers as told and counts how often it is asked."""

    def __init__(self, name: str, answer: Callable[[], Awaitable[list[str]]]) -> None:
        self.name = name
        self.asked = 0
        self.closed = 0
        self._answer = answer

    async def models(self) -> list[Model]:
        self.asked += 1
        return [Model(name, self.name) for name in await self._answer()]

    def generate(self, request: Request) -> ScriptedGeneration:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed += 1


def named(*names: str) -> Callable[[], Awaitable[list[str]]]:
    async def answer() -> list[str]:
        return list(names)

    return answer


def failing(error: Exception) -> Callable[[], Awaitable[list[str]]]:
    async def answer() -> list[str]:
        raise error

    return answer


def catalog(*backends: Told, default: str | None = None) -> Catalog:
    return Catalog(backends, logger=structlog.get_logger(), default=default)


async def test_models_and_the_unreachable() -> None:
    """Models come in the order of the backends; one that fails is listed with code and sentence."""
    all_of_them = catalog(
        Told("openai", failing(UpstreamUnauthorized("Check the API key."))),
        Told("ollama", named("a", "b")),
        Told("scripted", named("c")),
    )
    known = await all_of_them.listing()
    assert [model.model_id for model in known.models] == ["ollama/a", "ollama/b", "scripted/c"]
    assert known.unreachable == [Unreachable("openai", "upstream_unauthorized", "Check the API key.")]


async def test_one_question_for_many() -> None:
    """A hundred who ask at once share one question, and those who ask soon after share its answer."""
    backend = Told("ollama", named("a"))
    shared = catalog(backend)
    listings = await asyncio.gather(*(shared.listing() for _ in range(100)))
    assert all(listing.models is listings[0].models for listing in listings)
    await shared.listing()
    await shared.resolve("ollama/a")
    assert backend.asked == 1
    await shared.listing(refresh=True)
    assert backend.asked == 2


async def test_cancelled_asker_disturbs_nobody() -> None:
    """Whoever gives up waiting leaves the question to the others."""
    gate = asyncio.Event()

    async def answer() -> list[str]:
        await gate.wait()
        return ["a"]

    shared = catalog(Told("ollama", answer))
    first, second = asyncio.create_task(shared.listing()), asyncio.create_task(shared.listing())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    gate.set()
    assert [model.name for model in (await second).models] == ["a"]


async def test_resolve_by_name() -> None:
    """The first slash ends the backend's name: models may have slashes of their own."""
    backend = Told("openai", named("gpt", "org/model"))
    resolved, model = await catalog(backend).resolve("openai/org/model")
    assert resolved is backend
    assert model.name == "org/model"


async def test_resolve_tag() -> None:
    """A name without a tag finds the model with the tag `latest`."""
    _, model = await catalog(Told("ollama", named("llama3.2:latest"))).resolve("ollama/llama3.2")
    assert model.name == "llama3.2:latest"


async def test_resolve_nothing_named() -> None:
    """Without a name it is the configured default, else the first model of the first backend that has one."""
    first = Told("openai", failing(UpstreamUnreachable("It does not answer.")))
    second, third = Told("ollama", named()), Told("embedded", named("small"))
    assert (await catalog(first, second, third).resolve(None))[1].model_id == "embedded/small"
    wanted = Told("scripted", named("echo"))
    assert (await catalog(third, wanted, default="scripted/echo").resolve(None))[1].name == "echo"


@pytest.mark.parametrize("name", ["ollama/nope", "nobody/a", "a", "", "ollama/", "/"])
async def test_resolve_unknown(name: str) -> None:
    """A name that nobody has is refused with the names that would do."""
    known = catalog(Told("ollama", named("a")), Told("scripted", named("echo")))
    if not name:
        assert (await known.resolve(name))[1].name == "a"  # no name at all
        return
    with pytest.raises(UnknownModel) as caught:
        await known.resolve(name)
    assert caught.value.known == ["ollama/a", "scripted/echo"]


async def test_resolve_unreachable() -> None:
    """A name whose backend does not answer just now is accepted; its stream will say what is wrong."""
    down = Told("ollama", failing(UpstreamUnreachable("It does not answer.")))
    backend, model = await catalog(down, Told("scripted", named("echo"))).resolve("ollama/llama3.2:1b")
    assert backend is down
    assert model == Model("llama3.2:1b", "ollama", continues=True)  # whether it can, its server says in time


async def test_resolve_no_models() -> None:
    """Where no name is given and no backend has a model, the sentence carries the reasons."""
    down = Told("ollama", failing(UpstreamUnreachable("Ollama does not answer.")))
    with pytest.raises(NoModels, match=r"No models available\. Ollama does not answer\."):
        await catalog(down, Told("openai", named())).resolve(None)
    with pytest.raises(NoModels):
        await catalog().resolve(None)


async def test_new_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was pulled a moment ago is found although the last answer is still fresh."""
    monkeypatch.setattr("app.backends.catalog.UNKNOWN_AFTER", 0.0)
    names = ["a"]

    async def answer() -> list[str]:
        return names

    backend = Told("ollama", answer)
    shared = catalog(backend)
    await shared.resolve("ollama/a")
    names = ["a", "b"]
    assert (await shared.resolve("ollama/b"))[1].name == "b"
    assert backend.asked == 2


async def test_silent_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that never answers costs the bound and no more; the others are listed."""
    monkeypatch.setattr("app.backends.model_list.ANSWER_TIMEOUT", 0.05)

    async def answer() -> list[str]:
        await asyncio.Event().wait()
        return []

    known = await catalog(Told("openai", answer), Told("scripted", named("echo"))).listing()
    assert [model.name for model in known.models] == ["echo"]
    assert [silent.code for silent in known.unreachable] == ["upstream_unreachable"]


async def test_aclose() -> None:
    """Closing closes every backend, also when a question is under way, and leaves no task."""
    before = asyncio.all_tasks()

    async def answer() -> list[str]:
        await asyncio.Event().wait()
        return []

    backends = [Told("openai", answer), Told("ollama", named())]
    shared = catalog(*backends)
    asking = asyncio.create_task(shared.listing())
    await asyncio.sleep(0)
    await shared.aclose()
    silent = Unreachable("openai", "upstream_unreachable", "openai has not answered yet.")
    assert await asking == ModelListing([], [silent], default=None, backends=("openai", "ollama"))
    assert [backend.closed for backend in backends] == [1, 1]
    assert asyncio.all_tasks() == before


async def test_real_ones() -> None:
    """Over real sockets: a server that is down, one that is up, one with a wrong key, and the scripts."""
    async with OllamaDouble() as ollama, OpenAIDouble(api_key="right") as openai:
        backends: list[Backend] = [
            OpenAIBackend(openai.url, api_key="wrong"),
            OllamaBackend(ollama.url),
            ScriptedBackend(),
        ]
        shared = Catalog(backends, logger=structlog.get_logger())
        known = await shared.listing()
        assert [model.model_id for model in known.models][:3] == [
            "ollama/double:latest",
            "ollama/other:1b",
            "scripted/echo",
        ]
        assert [(silent.backend, silent.code) for silent in known.unreachable] == [
            ("openai", "upstream_unauthorized")
        ]
        assert "wrong" not in known.unreachable[0].message
        await ollama.stop()
        known = await shared.listing(refresh=True)
        assert [silent.code for silent in known.unreachable] == [
            "upstream_unauthorized",
            "upstream_unreachable",
        ]
        await shared.aclose()
