"""What the HTTP backends send, and where to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from yarl import URL

from app.backends.errors.bodies import read_error_body
from app.backends.errors.mapper import ErrorMapper
from app.backends.http.client import proxy_for
from app.backends.ollama.backend import OllamaBackend
from app.backends.ollama.models import full_name
from app.backends.openai.backend import OpenAIBackend
from app.chat.errors import UpstreamError, UpstreamUnauthorized
from app.chat.ports import ChatMessage, Generation, Options, Request
from app.hosts import is_loopback
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.support.request_images import PICTURE, load_of

MESSAGES = [ChatMessage("user", "Hi"), ChatMessage("assistant", "Yes?"), ChatMessage("user", "Go.")]
SENT = [{"role": message.role, "content": message.content} for message in MESSAGES]
OPTIONS = Options(temperature=0.5, top_p=0.9, max_tokens=7, seed=42, stop=["END"])


async def drain(generation: Generation) -> None:
    while await generation.read():
        pass


async def test_ollama_body() -> None:
    """Ollama gets the whole name, the model's context, no leave to drop text, and only the options given."""
    async with OllamaDouble() as double:
        backend = OllamaBackend(double.url)
        await drain(backend.generate(Request("double", MESSAGES)))
        await drain(backend.generate(Request("other:1b", MESSAGES, OPTIONS)))
        await backend.aclose()
    plain, full = double.requests
    assert plain == {
        "model": "double:latest",
        "messages": SENT,
        "options": {"num_ctx": 4096},
        "stream": True,
        "truncate": False,
    }
    assert full["messages"] == SENT
    assert full["options"] == {
        "num_ctx": 4096,
        "num_predict": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 42,
        "stop": ["END"],
    }


async def test_ollama_asks_for_the_context_once() -> None:
    """A model's context is asked for once, however many answers it gives; listing keeps what is known."""
    async with OllamaDouble() as double:
        backend = OllamaBackend(double.url)
        await backend.models()
        await backend.models()
        for _ in range(3):
            await drain(backend.generate(Request("double", MESSAGES)))
        await backend.aclose()
    assert list(double.questions).count("/api/show") == len(double.models)


@pytest.mark.parametrize(
    ("trained", "parameters", "context"),
    [(2048, "", 2048), (131072, "", 8192), (131072, "stop  x\nnum_ctx   16384\n", 16384), (None, "", None)],
)
async def test_ollama_context(trained: int | None, parameters: str, context: int | None) -> None:
    """The context is what the model's file sets, else what the model was trained for, up to our bound."""
    async with OllamaDouble() as double:
        double.parameters = parameters
        double.context = trained
        backend = OllamaBackend(double.url)
        assert {model.context for model in await backend.models()} == {context}
        await drain(backend.generate(Request("double", MESSAGES)))
        await backend.aclose()
    assert double.requests[0]["options"] == ({"num_ctx": context} if context else {})


@pytest.mark.parametrize("ending", ["/", "/api", "/api/", "/api/chat", "/api/tags", "/v1"])
async def test_ollama_s_address_may_be_pasted(ending: str) -> None:
    """With the path that a documentation shows."""
    async with OllamaDouble() as double:
        backend = OllamaBackend(double.url + ending)
        assert len(await backend.models()) == 2
        await drain(backend.generate(Request("double", MESSAGES)))
        await backend.aclose()


async def test_ollama_lists_what_chats() -> None:
    """Models that only compute embeddings are not offered."""
    async with OllamaDouble() as double:
        double.capabilities = {"other:1b": ["embedding"]}
        backend = OllamaBackend(double.url)
        assert [model.name for model in await backend.models()] == ["double:latest"]
        await backend.aclose()


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("hf.co/org/model", "hf.co/org/model:latest"),
        ("host:5000/org/model", "host:5000/org/model:latest"),
    ],
)
def test_full_name(name: str, full: str) -> None:
    """Only the last part of a name can have a tag."""
    assert full_name(name) == full


SHOWN = [ChatMessage("user", "Look.", (PICTURE, PICTURE))]


async def test_ollama_gets_images_beside_the_text() -> None:
    """In base64; and what it says of a model tells whether that one sees them."""
    async with OllamaDouble() as double:
        double.capabilities = {"other:1b": ["completion", "vision"]}
        backend = OllamaBackend(double.url)
        assert [model.vision for model in await backend.models()] == [False, True]
        await drain(backend.generate(Request("other:1b", SHOWN, load=load_of())))
        await backend.aclose()
    assert double.requests[0]["messages"] == [
        {"role": "user", "content": "Look.", "images": ["iVBORw=="] * 2}
    ]


async def test_openai_gets_images_as_parts() -> None:
    """As data URLs behind the text; whether a model sees is not said."""
    async with OpenAIDouble() as double:
        backend = OpenAIBackend(double.url)
        assert {model.vision for model in await backend.models()} == {None}
        await drain(backend.generate(Request("double", SHOWN, load=load_of())))
        await backend.aclose()
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert double.requests[0]["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Look."}, part, part]}
    ]


async def test_openai_body() -> None:
    """An OpenAI-compatible server is asked for a stream with usage, and gets only the options given."""
    async with OpenAIDouble() as double:
        backend = OpenAIBackend(double.url)
        await drain(backend.generate(Request("org/other", MESSAGES)))
        await drain(backend.generate(Request("double", MESSAGES, OPTIONS)))
        contexts = [model.context for model in await backend.models()]
        await backend.aclose()
    plain, full = double.requests
    assert plain == {
        "model": "org/other",
        "messages": SENT,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert full["messages"] == SENT
    assert {key: full[key] for key in ("temperature", "top_p", "max_tokens", "seed", "stop")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 42,
        "stop": ["END"],
    }
    assert contexts == [2048, 1024]  # vLLM's word for it, and llama.cpp's


@pytest.mark.parametrize("form", [str, "{}/".format, "{}/v1".format, "{}/v1/".format])
async def test_openai_address(form: Callable[[str], str]) -> None:
    """The address may end in `/v1` or not, and the key goes along."""
    async with OpenAIDouble(api_key="right") as double:
        backend = OpenAIBackend(form(double.url), api_key="right")
        await drain(backend.generate(Request("double", MESSAGES)))
        assert await backend.models()
        await backend.aclose()


async def test_wrong_key() -> None:
    """A refused key is said so, and neither key nor password is repeated."""
    async with OpenAIDouble(api_key="right") as double:
        backend = OpenAIBackend(double.url, api_key="very-wrong")
        with pytest.raises(UpstreamUnauthorized) as caught:
            await backend.generate(Request("double", MESSAGES)).read()
        await backend.aclose()
    assert "very-wrong" not in str(caught.value)
    secret = OpenAIBackend("http://user:pass@127.0.0.1:9/v1")
    assert "pass" not in repr(secret)
    assert "pass" not in repr(secret.generate(Request("double", MESSAGES)))


def test_key_is_never_repeated() -> None:
    """A server that repeats the key in its error does not make us repeat it."""
    voice = ErrorMapper("It", secrets=["very-secret"])
    assert "secret" not in str(voice.rejected(500, b'{"error": "no luck with very-secret"}'))
    assert "secret" not in str(voice.in_band({"message": "no luck with very-secret"}))


async def test_abort_with_an_unsent_prompt() -> None:
    """A stop closes the connection also while most of a large prompt waits for a server that reads nothing."""
    begun, read_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
        begun.set()
        await read_on.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    backend = OpenAIBackend(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    generation = backend.generate(Request("double", [ChatMessage("user", "x" * 50_000_000)]))
    reading = asyncio.create_task(generation.read())
    async with asyncio.timeout(30):
        await begun.wait()  # the kernel takes a tenth of it
        generation.abort()
        await generation.wait_closed()
        read_on.set()
        await ended.wait()
        await asyncio.wait({reading})
    assert isinstance(reading.exception(), UpstreamError)
    await backend.aclose()
    server.close()
    await server.wait_closed()


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used for other machines, never for this one or for an exception."""
    for name in (
        "NO_PROXY",
        "no_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for(URL("http://api.example.com/v1")) == "http://proxy.example:3128"
    assert proxy_for(URL("http://inside.example/v1")) is None
    for host in ("127.0.0.1", "127.1.2.3", "localhost", "x.localhost", "[::1]"):
        assert proxy_for(URL(f"http://{host}:11434")) is None
    assert not is_loopback("localhost.example.com")


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v2/chat?key=1", "/v2/chat"),
        ("https://user@other.example/v2?key=1#top", "https://other.example/v2"),
        ("?a=b", "?a=b"),
        ("#top", "#top"),
        ("http://[", "http://["),
    ],
)
def test_a_redirect_says_where_to(target: str, shown: str) -> None:
    """Without what may be secret, as long as something is left."""
    error = ErrorMapper("It").rejected(301, b"", {"Location": target})
    assert str(error) == f"It redirects to {shown} (301). Check its URL."


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<html><head><TITLE lang=tr>İİ Bad gateway</Title></head></html>", "İİ Bad gateway"),
        ("<p>İİİİİİİİİİ</p><h1>Not here</h1>", "Not here"),
        ("<Error><!--İİİİ--><Message>No such model</Message></Error>", "No such model"),
    ],
)
def test_a_letter_that_is_longer_in_lower_case_moves_nothing(page: str, message: str) -> None:
    """İ is two characters in lower case."""
    assert read_error_body(page.encode()).message == message
