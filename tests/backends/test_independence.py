"""One backend never delays another, nor takes its models away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from app.backends.catalog import Catalog
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedGeneration
from app.chat.errors import UnknownModel, UpstreamGarbled, UpstreamUnreachable
from app.chat.ports import Backend, Model, Request
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.support.waiting import until


class Gated:
    """A backend whose answers come when its gate is open; it notes what became of each question."""

    def __init__(self, name: str, *names: str, is_open: bool = True) -> None:
        self.name = name
        self.names = names
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.asked = self.answered = self.given_up = 0
        if is_open:
            self.gate.set()

    async def models(self) -> list[Model]:
        self.asked += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self.answered += 1
        if self.error is not None:
            raise self.error
        return [Model(name, self.name) for name in self.names]

    def generate(self, request: Request) -> ScriptedGeneration:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.gate.set()


@asynccontextmanager
async def catalog(*backends: Backend, **more: object) -> AsyncIterator[Catalog]:
    known = Catalog(backends, logger=structlog.get_logger(), **more)  # type: ignore[arg-type]
    try:
        yield known
    finally:
        await known.aclose()


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is old as soon as it is there."""
    monkeypatch.setattr("app.backends.catalog.FRESH_FOR", -1.0)


async def test_a_named_model_asks_its_own_backend_only() -> None:
    """Neither the backends before it nor those behind it hear of a prompt."""
    hanging, mine, other = Gated("openai", is_open=False), Gated("ollama", "a"), Gated("scripted", "echo")
    async with catalog(hanging, mine, other) as known:
        assert (await known.resolve("ollama/a"))[0] is mine
        assert (hanging.asked, other.asked) == (0, 0)


async def test_a_prompt_waits_for_no_other_backend() -> None:
    """Also while the question to that one is under way, and for the default model."""
    hanging, mine = Gated("openai", is_open=False), Gated("ollama", "a")
    async with catalog(hanging, mine, default="ollama/a") as known:
        known.start()
        await known.resolve("ollama/a")
        await known.resolve(None)
        assert (hanging.asked, hanging.answered, hanging.given_up) == (1, 0, 0)


@pytest.mark.usefixtures("stale")
async def test_a_page_shows_the_last_list_and_refreshes_behind_it() -> None:
    """The old list is there at once, although everybody hangs; the new one is there for the next page."""
    mine, other = Gated("ollama", "a"), Gated("scripted", "echo")
    async with catalog(mine, other) as known:
        await known.listing(refresh=True)
        mine.gate.clear()
        mine.names = ("a", "b")
        listing = await known.listing()
        assert [model.model_id for model in listing.models] == ["ollama/a", "scripted/echo"]
        assert listing.unreachable == []
        await until(lambda: mine.asked == 2)
        assert mine.answered == 1
        mine.gate.set()
        await until(lambda: mine.answered == 2)
        listing = await known.listing()
        assert [model.name for model in listing.models] == ["a", "b", "echo"]


@pytest.mark.usefixtures("stale")
async def test_a_hundred_pages_ask_once() -> None:
    """However many look at a list while its backend is being asked."""
    mine = Gated("ollama", "a")
    async with catalog(mine) as known:
        await known.listing()
        mine.gate.clear()
        await asyncio.gather(*(known.listing() for _ in range(100)))
        await until(lambda: mine.asked == 2)
        await asyncio.gather(*(known.listing() for _ in range(100)))
        assert mine.asked == 2


@pytest.mark.slow
async def test_a_backend_that_has_not_answered_yet_is_said_so() -> None:
    """A list is shown without it after a moment; it is neither forgotten nor given up."""
    hanging, other = Gated("openai", "late", is_open=False), Gated("scripted", "echo")
    async with catalog(hanging, other) as known:
        first = await known.listing()
        assert [model.name for model in first.models] == ["echo"]
        assert [silent.message for silent in first.unreachable] == ["openai has not answered yet."]
        assert hanging.given_up == 0
        hanging.gate.set()
        await until(lambda: hanging.answered == 1)
        second = await known.listing()
        assert [model.name for model in second.models] == ["late", "echo"]
        assert second.unreachable == []


@pytest.mark.slow
async def test_where_nothing_is_known_the_first_answer_counts() -> None:
    """A prompt without a model takes what comes, while another backend hangs."""
    hanging, other = Gated("openai", is_open=False), Gated("scripted", "echo", is_open=False)
    async with catalog(hanging, other) as known:
        asking = asyncio.create_task(known.resolve(None))
        await until(lambda: other.asked == 1)
        assert not asking.done()
        other.gate.set()
        assert (await asking)[1].model_id == "scripted/echo"
        assert (hanging.answered, hanging.given_up) == (0, 0)


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), ValueError("?"), KeyError("x"), UpstreamGarbled("?")]
)
async def test_a_list_that_cannot_be_read_is_that_backend_s_alone(error: Exception) -> None:
    """It is unreachable, with a reason; all others keep their models, and its own names are still accepted."""
    broken, other = Gated("openai"), Gated("scripted", "echo")
    broken.error = error
    async with catalog(broken, other) as known:
        listing = await known.listing()
        assert [model.model_id for model in listing.models] == ["scripted/echo"]
        assert [(one.backend, one.code) for one in listing.unreachable] == [("openai", "upstream_garbled")]
        assert listing.unreachable[0].message
        assert (await known.resolve("openai/any"))[0] is broken


async def test_a_backend_that_recovers_is_listed_again() -> None:
    """A failure is forgotten with the next answer."""
    mine = Gated("ollama", "a")
    mine.error = UpstreamUnreachable("Away.")
    async with catalog(mine) as known:
        assert [one.message for one in (await known.listing()).unreachable] == ["Away."]
        mine.error = None
        listing = await known.listing(refresh=True)
        assert ([model.name for model in listing.models], listing.unreachable) == (["a"], [])


async def test_closing_is_bounded_whatever_a_backend_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that swallows its cancellation holds nobody up."""
    monkeypatch.setattr("app.backends.model_list.CLOSE_TIMEOUT", 0.05)
    released = asyncio.Event()

    class Deaf(Gated):
        async def models(self) -> list[Model]:
            self.asked += 1
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    self.given_up += 1
            return []

    deaf = Deaf("ollama")
    known = Catalog([deaf], logger=structlog.get_logger())
    known.start()
    await until(lambda: deaf.asked == 1)
    await known.aclose()
    assert deaf.given_up == 1
    released.set()


NAMED = {"openai": ["my model", "org/ünï:1"]}


@pytest.mark.parametrize("error", [None, UpstreamGarbled("No list."), UpstreamUnreachable("Away.")])
async def test_models_that_the_operator_named(error: UpstreamGarbled | None) -> None:
    """They are offered beside those of the list, and in its place; not while the server is away."""
    server = Gated("openai", "listed")
    server.error = error
    async with catalog(server, named=NAMED, default="openai/my model") as known:
        listing = await known.listing()
        names = [model.name for model in listing.models]
        match error:
            case None:
                assert names == ["listed", "my model", "org/ünï:1"]
            case UpstreamGarbled():
                assert (names, listing.unreachable) == (["my model", "org/ünï:1"], [])
            case _:
                assert (names, len(listing.unreachable)) == ([], 1)
        assert (await known.resolve(None))[1].name == "my model"
        assert (await known.resolve("openai/org/ünï:1"))[1].name == "org/ünï:1"


async def test_the_context_that_the_operator_gave() -> None:
    """It holds for models that the list does not have, named or not."""
    server = Gated("openai")
    server.error = UpstreamGarbled("No list.")
    async with catalog(server, named=NAMED, contexts={"openai": 32768}) as known:
        assert {model.context for model in (await known.listing()).models} == {32768}
        assert (await known.resolve("openai/another"))[1].context == 32768


async def test_a_default_of_nobody_is_warned_about() -> None:
    """Its prefix is that of no server: a typing error, most likely."""
    with capture_logs() as logs:
        async with catalog(Gated("openai"), default="opnai/gpt"):
            pass
    assert [(line["event"], line["model"]) for line in logs] == [("default_model_unknown", "opnai/gpt")]


async def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A few of three thousand, the nearest first."""
    names = [f"vendor-{number % 60}/model-{number}-instruct" for number in range(3000)] + [
        "meta/llama-3.3-70b"
    ]
    async with catalog(Gated("openai", *names)) as known:
        with pytest.raises(UnknownModel) as caught:
            await known.resolve("openai/meta/lama-3.3-70B")
        assert caught.value.known[0] == "openai/meta/llama-3.3-70b"
        assert len(caught.value.known) == 5
        assert "openai/meta/llama-3.3-70b" in str(caught.value)
        with pytest.raises(UnknownModel) as caught:
            await known.resolve("openai/" + "x" * 100_000)
        assert len(str(caught.value)) < 1000


# ---- Ollama, over real sockets ------------------------------------------------------------------------------


class ManyModels(OllamaDouble):
    """An Ollama with 120 models, whose answers about each wait for a gate."""

    models = tuple(f"model-{number}:latest" for number in range(120))  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.shown: list[str] = []
        self.open = self.most = 0
        self.digest = "sha"

    async def _tags(self, request: web.Request) -> web.Response:
        self.questions.append(request.path)
        entries = [{"name": name, "digest": f"{self.digest}-{name}"} for name in self.models]
        return web.json_response({"models": entries})

    async def _show(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        self.shown.append(name)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if name != self.models[-1]:
                await self.gate.wait()
            return await super()._show(request)
        finally:
            self.open -= 1


@pytest.fixture
async def many() -> AsyncIterator[ManyModels]:
    async with ManyModels() as double:
        yield double
        double.gate.set()


@pytest.mark.slow
async def test_models_are_listed_before_their_details(many: ManyModels) -> None:
    """All 120 are there while nothing is known of them yet; the details come in behind."""
    backend = OllamaBackend(many.url)
    async with catalog(backend) as known:
        first = await known.listing()
        assert len(first.models) == 120
        assert {model.context for model in first.models} == {None}
        many.gate.set()
        await until(lambda: all(model.context for model in backend.listed()))
        assert len(many.shown) == 120
        second = await known.listing()
        assert {model.context for model in second.models} == {4096}
        assert many.most <= 1
        await known.listing(refresh=True)
        assert len(many.shown) == 120  # kept by digest
        many.digest = "other"
        await known.listing(refresh=True)
        await until(lambda: len(many.shown) == 240)


async def test_a_prompt_asks_for_its_own_model_s_details(many: ManyModels) -> None:
    """It does not stand in line behind those of all other models."""
    async with catalog(OllamaBackend(many.url)) as known:
        await known.listing()
        _, model = await known.resolve("ollama/model-119")
        assert (model.context, model.vision) == (4096, False)
        assert many.shown.count("model-119:latest") == 1
        assert len(many.shown) <= 2


@pytest.mark.slow
async def test_details_that_do_not_come_hold_nothing_up(
    many: ManyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt goes on with what is known, and the pass over all models is given up."""
    monkeypatch.setattr("app.backends.catalog.OWN_WAIT", 0.05)
    monkeypatch.setattr("app.backends.http.client.QUESTION_TIMEOUT", 0.3)
    async with catalog(OllamaBackend(many.url)) as known:
        await known.listing()
        _, model = await known.resolve("ollama/model-7")
        assert (model.name, model.context) == ("model-7:latest", None)
        await until(lambda: not many.open)
        assert len(many.shown) <= 4


async def test_closing_in_the_middle_of_the_details(many: ManyModels) -> None:
    """No task is left."""
    before = asyncio.all_tasks()
    known = Catalog([OllamaBackend(many.url)], logger=structlog.get_logger())
    await known.listing()
    await known.aclose()
    await until(lambda: asyncio.all_tasks() <= before)


DEEP = b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize("make", [OpenAIBackend, OllamaBackend])
async def test_deep_json_takes_nobody_s_models(make: Callable[[str], Backend]) -> None:
    """Over real sockets: a list that no decoder follows to its bottom."""

    async def deep(_: web.Request) -> web.Response:
        return web.Response(body=DEEP, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", deep)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with OpenAIDouble() as double:
        healthy = OpenAIBackend(double.url)
        broken = make(f"http://127.0.0.1:{runner.addresses[0][1]}")
        broken.name = "broken"
        async with catalog(broken, healthy) as known:
            listing = await known.listing()
            assert [model.model_id for model in listing.models] == ["openai/double", "openai/org/other"]
            assert [one.backend for one in listing.unreachable] == ["broken"]
    await runner.cleanup()
