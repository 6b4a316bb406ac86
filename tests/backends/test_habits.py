"""Servers as people have them: where they answer, what they refuse, and what is remembered of it. Over real sockets."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from app.backends.openai.backend import OpenAIBackend
from app.chat.errors import UpstreamError, UpstreamRejected, UpstreamUnreachable
from app.chat.ports import ChatMessage, Delta, Generation, Options, Request
from tests.doubles.openai import OpenAIDouble
from tests.support.request_images import PICTURE, load_of
from tests.support.waiting import until

ASKED = [ChatMessage("user", "Hi")]
SYSTEM = [ChatMessage("system", "Be brief."), *ASKED]
WORDS = "The river turns the wheel and flows on."

Refusal = Callable[[dict[str, Any]], web.Response | None]


class Server(OpenAIDouble):
    """A double whose API stands under a path of its own, and which refuses some requests."""

    def __init__(self, base: str = "/v1", *, refuse: Refusal = lambda body: None, lists: bool = True) -> None:
        super().__init__()
        self.base = base
        self.refuse = refuse
        self.lists = lists
        self.asked: list[str] = []  # methods and addresses of all requests
        self.bodies: list[dict[str, Any]] = []  # of all requests for an answer, the refused ones too
        self.headers: list[dict[str, str]] = []
        self.open: set[asyncio.Transport | None] = set()  # connections that have asked for an answer
        self.most = 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_route("*", "/{path:.*}", self._any)

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url}")
        self.headers.append(dict(request.headers))
        if request.path == f"{self.base}/models" and self.lists:
            return await self._models(request)
        if request.path == f"{self.base}/chat/completions":
            return await self._chat(request)
        return web.json_response({"detail": "Not Found"}, status=404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.open = {each for each in self.open if each is not None and not each.is_closing()}
        self.open.add(request.transport)
        self.most = max(self.most, len(self.open))
        body = msgspec.json.decode(await request.read())
        self.bodies.append(body)
        return self.refuse(body) or await self.generate(request)

    def paths(self, ending: str) -> list[str]:
        """The addresses of requests that end so, without the query."""
        found = [each.partition(" ")[2].partition("?")[0] for each in self.asked]
        return [path for path in found if path.endswith(ending)]


async def text(generation: Generation) -> str:
    pieces: list[str] = []
    while deltas := await generation.read():
        pieces += [piece for delta in deltas if isinstance(delta, Delta) for piece in delta.texts]
    return "".join(pieces)


@asynccontextmanager
async def backend(url: str, **more: Any) -> AsyncIterator[OpenAIBackend]:
    made = OpenAIBackend(url, logger=structlog.get_logger(), **more)
    try:
        yield made
    finally:
        await made.aclose()


# ---- where it answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "base"),
    [
        ("", "/v1"),
        ("/", "/v1"),
        ("", ""),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1//", "/v1"),
        ("/inference", "/inference"),
        ("/compat/", "/compat"),
        ("/api", "/api"),
        ("/api/v3", "/api/v3"),
        ("/v1beta/openai/", "/v1beta/openai"),
        ("/v1/chat/completions", "/v1"),
        ("/v1/chat/completions/", "/v1"),
        ("/inference/chat/completions", "/inference"),
        ("/chat/completions", ""),
        ("/v1/models", "/v1"),
        ("/v1/completions", "/v1"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01", "/openai/deployments/gpt-4o"),
        ("?api-version=1", "/v1"),
        ("/a%2Fb/v1", "/a/b/v1"),
    ],
)
async def test_the_url_may_be_whatever_people_have(configured: str, base: str) -> None:
    """With and without a path, pasted from a documentation, with a query: the list and the answer are found."""
    async with Server(base) as server, backend(server.url + configured) as ours:
        assert [model.name for model in await ours.models()] == ["double", "org/other"]
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
        query = configured.partition("?")[2]
        assert all(each.partition("?")[2] == query for each in server.asked)


@pytest.mark.parametrize("base", ["/v1", ""])
async def test_a_bare_host_is_tried_once(base: str) -> None:
    """What the list has found holds for the answers, and for the lists after it."""
    async with Server(base) as server, backend(server.url) as ours:
        await ours.models()
        tried = len(server.asked)
        await ours.models()
        await text(ours.generate(Request("double", ASKED)))
        assert len(server.asked) == tried + 2
        assert server.asked[-2:] == [f"GET {base}/models", f"POST {base}/chat/completions"]


@pytest.mark.parametrize("base", ["/v1", ""])
async def test_an_answer_finds_the_address_by_itself(base: str) -> None:
    """Where there is no list, the first prompt tries; the others know."""
    async with Server(base, lists=False) as server, backend(server.url) as ours:
        with pytest.raises(UpstreamRejected):
            await ours.models()
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
        tried = ["/v1/chat/completions"] if base else ["/v1/chat/completions", "/chat/completions"]
        assert server.paths("/chat/completions") == [*tried, f"{base}/chat/completions"]
        assert server.most == 1


async def test_both_addresses_refuse() -> None:
    """Each is tried once, and then it is an error."""
    answer = openai_error("No endpoints found that support image input")
    refuse = lambda body: web.json_response(answer, status=404)  # noqa: E731
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        with pytest.raises(UpstreamRejected):
            await text(ours.generate(Request("double", ASKED)))
        assert server.paths("/chat/completions") == ["/v1/chat/completions", "/chat/completions"]


async def test_a_server_that_was_down_is_tried_again() -> None:
    """A refused connection says nothing about addresses."""
    server = Server("")
    async with server:
        pass
    async with backend(server.url) as ours:
        with pytest.raises(UpstreamUnreachable):
            await ours.models()
        with pytest.raises(UpstreamUnreachable):
            await text(ours.generate(Request("double", ASKED)))
        async with server:
            assert len(await ours.models()) == 2
            assert await text(ours.generate(Request("double", ASKED))) == WORDS


async def test_a_server_that_moves_is_found_again() -> None:
    """An address that was remembered and is none any more is forgotten."""
    async with Server("/v1") as server, backend(server.url) as ours:
        await ours.models()
        server.base = ""
        with pytest.raises(UpstreamRejected):
            await text(ours.generate(Request("double", ASKED)))
        assert await text(ours.generate(Request("double", ASKED))) == WORDS


async def test_user_and_password_of_the_url() -> None:
    """They are sent as RFC 7617 says, and never repeated."""
    async with Server() as server:
        url = server.url.replace("http://", "http://us%C3%ABr:p%40ss-word@")
        async with backend(url) as ours:
            await ours.models()
            server.refuse = lambda body: web.json_response({"error": "no luck with p@ss-word"}, status=400)
            with pytest.raises(UpstreamRejected) as caught:
                await text(ours.generate(Request("double", ASKED)))
            sent = base64.b64encode("usër:p@ss-word".encode()).decode()
            assert {each["Authorization"] for each in server.headers} == {f"Basic {sent}"}
            assert "ss-word" not in str(caught.value) + repr(ours)


async def test_extra_headers() -> None:
    """They go with each request, and one of a name that we send too is theirs."""
    headers = {"api-key": "azure-secret", "authorization": "Token abc-12345"}
    async with Server() as server, backend(server.url, api_key="unused", headers=headers) as ours:
        await ours.models()
        await text(ours.generate(Request("double", ASKED)))
        assert [each["api-key"] for each in server.headers] == ["azure-secret"] * 2
        authorizations = [
            value
            for each in server.headers
            for name, value in each.items()
            if name.lower() == "authorization"
        ]
        assert authorizations == ["Token abc-12345"] * 2
        server.refuse = lambda body: web.json_response({"error": "azure-secret is wrong"}, status=400)
        with pytest.raises(UpstreamRejected) as caught:
            await text(ours.generate(Request("double", ASKED)))
        assert "azure-secret" not in str(caught.value)


async def test_ipv6() -> None:
    """An address in brackets."""
    try:
        probe = socket.socket(socket.AF_INET6)
        probe.bind(("::1", 0))
        probe.close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server = Server()
    app = web.Application()
    server.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "::1", 0).start()
    async with backend(f"http://[::1]:{runner.addresses[0][1]}") as ours:
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
    await runner.cleanup()


# ---- what it refuses ------------------------------------------------------------------------------------------


def openai_error(message: str, **more: Any) -> Any:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def pydantic(field: str) -> Any:
    return {
        "detail": [
            {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}
        ]
    }


def refusing(field: str, answer: Any, status: int = 400) -> Refusal:
    """Refuse what has the field."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        if field not in body:
            return None
        if isinstance(answer, str):
            return web.Response(text=answer, status=status)
        return web.json_response(answer, status=status)

    return refuse


STREAM_OPTIONS = [
    (openai_error("Unrecognized request argument supplied: stream_options"), 400),
    (openai_error("property 'stream_options' is unsupported"), 400),
    (pydantic("stream_options"), 422),
    ({"object": "error", "message": {"detail": [{"loc": ["body", "stream_options", "include_usage"]}]}}, 422),
    ("stream_options: unbekanntes Feld", 400),
    ({"error": 'json: unknown field "stream_options"'}, 400),
    ({"message": "include_usage is not allowed"}, 400),
]


@pytest.mark.parametrize(("answer", "status"), STREAM_OPTIONS)
async def test_stream_options_refused(answer: Any, status: int) -> None:
    """In any wording: asked once without, and never with them again, for any model of that server."""
    refuse = refusing("stream_options", answer, status)
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
        assert await text(ours.generate(Request("org/other", ASKED))) == WORDS
        assert ["stream_options" in body for body in server.bodies] == [True, False, False]
        assert server.most == 1


MAX_TOKENS = [
    (
        openai_error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
        ),
        400,
    ),
    (pydantic("max_tokens"), 422),
    ("max_tokens wird nicht unterstützt", 400),
    (openai_error("max_tokens is not allowed in this context"), 400),
    (openai_error("`max_tokens` has been deprecated, the field must be replaced"), 400),
    (openai_error("Unknown field maxTokens in the context of gpt-5.1"), 400),
]


@pytest.mark.parametrize(("answer", "status"), MAX_TOKENS)
async def test_max_tokens_refused(answer: Any, status: int) -> None:
    """The limit holds by its newer name; that is remembered for the model, and other models keep the older."""
    options = Options(max_tokens=7)
    async with Server() as server, backend(server.url) as ours:
        server.refuse = refusing("max_tokens", answer, status)
        for _ in range(2):
            assert await text(ours.generate(Request("double", ASKED, options))) == WORDS
        limits = [(body.get("max_tokens"), body.get("max_completion_tokens")) for body in server.bodies]
        assert limits == [(7, None), (None, 7), (None, 7)]
        server.refuse = lambda body: None
        await text(ours.generate(Request("org/other", ASKED, options)))
        assert server.bodies[-1]["max_tokens"] == 7


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 999999. This model supports at most 4096 completion tokens.",
        "This model's maximum context length is 4096 tokens. Please reduce max_tokens.",
        "max_tokens must be less than 8192",
    ],
)
async def test_a_limit_that_is_too_large_is_told(message: str) -> None:
    """It is no refusal of the field: under another name it would be too large as well."""
    refuse = refusing("max_tokens", openai_error(message))
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        with pytest.raises(UpstreamRejected, match="max_tokens"):
            await text(ours.generate(Request("double", ASKED, Options(max_tokens=999_999))))
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("seed", Options(seed=1)),
        ("top_p", Options(top_p=0.5)),
        ("stop", Options(stop=["x"])),
        ("temperature", Options(temperature=0.5)),
    ],
)
async def test_an_option_that_somebody_set_is_not_dropped_in_silence(field: str, options: Options) -> None:
    """The server's words are told, and which option to clear; nothing is asked twice."""
    answer = openai_error(f"Unsupported value: '{field}' does not support 0.5 with this model.")
    async with Server(refuse=refusing(field, answer)) as server, backend(server.url) as ours:
        with pytest.raises(UpstreamRejected) as caught:
            await text(ours.generate(Request("double", ASKED, options)))
        assert f"'{field}' does not support" in str(caught.value)
        assert f"The option {field} was set in this chat" in str(caught.value)
        assert len(server.bodies) == 1


def refuse_system(answer: Any, status: int) -> Refusal:
    def refuse(body: dict[str, Any]) -> web.Response | None:
        has_system = any(message["role"] == "system" for message in body["messages"])
        return web.json_response(answer, status=status) if has_system else None

    return refuse


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (openai_error("System role not supported"), 400),
        (openai_error("Conversation roles must alternate user/assistant/user/assistant/..."), 400),
        (openai_error("Developer instruction is not enabled: system messages are refused"), 400),
        ({"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "unexpected value 'system'"}]}, 422),
        (openai_error("Developer instruction is not enabled for models/gemma-3-27b-it"), 400),
        (openai_error("Only user and assistant roles are supported!"), 400),
        (openai_error("Invalid role in messages[0]: must be user or assistant"), 400),
        (openai_error("Conversation must start with a user message"), 400),
        (
            {
                "detail": [
                    {"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}
                ]
            },
            422,
        ),
        ({"error": 'Error rendering prompt with jinja template: "System role not supported"'}, 500),
    ],
)
async def test_a_system_role_refused(answer: Any, status: int) -> None:
    """The system prompt goes in front of the first message of the user, with its images, and the log says so."""
    messages = [SYSTEM[0], ChatMessage("user", "Hi", (PICTURE,)), ChatMessage("assistant", "Yes?"), *ASKED]
    async with Server(refuse=refuse_system(answer, status)) as server, backend(server.url) as ours:
        with capture_logs() as logs:
            assert await text(ours.generate(Request("double", SYSTEM))) == WORDS
            assert await text(ours.generate(Request("double", messages, load=load_of()))) == WORDS
        assert [body["messages"][0]["role"] for body in server.bodies] == ["system", "user", "user"]
        assert server.bodies[1]["messages"] == [{"role": "user", "content": "Be brief.\n\nHi"}]
        first, *rest = server.bodies[2]["messages"]
        assert first["content"][0] == {"type": "text", "text": "Be brief.\n\nHi"}
        assert first["content"][1]["type"] == "image_url"
        assert [message["role"] for message in rest] == ["assistant", "user"]
        [line] = [line for line in logs if line["event"] == "model_server_adapted"]
        assert (line["backend"], line["model"]) == ("openai", "double")
        assert "system prompt" in line["changes"]


async def test_a_request_that_is_sent_again_has_its_images_again() -> None:
    """Nothing of them was kept."""
    refuse = refusing("stream_options", openai_error("stream_options?"))
    shown = [ChatMessage("user", "Look.", (PICTURE,))]
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        assert await text(ours.generate(Request("double", shown, load=load_of()))) == WORDS
    first, second = [body["messages"] for body in server.bodies]
    assert first == second
    assert first[0]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="


async def test_several_refusals_in_a_row() -> None:
    """Address, stream_options, max_tokens and system role: each once, then the answer; later at once."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        refusals = (
            refusing("stream_options", openai_error("stream_options?")),
            refusing("max_tokens", openai_error("max_tokens?")),
            refuse_system(openai_error("system role?"), 400),
        )
        return next((answer for each in refusals if (answer := each(body)) is not None), None)

    async with Server("", refuse=refuse, lists=False) as server, backend(server.url) as ours:
        for _ in range(2):
            assert await text(ours.generate(Request("double", SYSTEM, Options(max_tokens=7)))) == WORDS
        assert len(server.paths("/chat/completions")) == 6
        assert server.most == 1


async def test_what_did_not_help_is_not_remembered() -> None:
    """The error is that of the last try, and the next request begins anew."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        without = "stream_options" not in body
        message = "it is something else" if without else "stream_options?"
        return web.json_response(openai_error(message), status=400)

    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        for _ in range(2):
            with pytest.raises(UpstreamRejected, match="something else"):
                await text(ours.generate(Request("double", ASKED)))
        assert ["stream_options" in body for body in server.bodies] == [True, False, True, False]


async def test_a_refusal_of_everything_ends() -> None:
    """A server that names all fields at once, whatever is sent, is asked a bounded number of times."""
    everything = "stream_options max_tokens max_completion_tokens system role temperature"
    refuse = lambda body: web.json_response(openai_error(everything), status=400)  # noqa: E731
    options = Options(max_tokens=7, temperature=1)
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        with pytest.raises(UpstreamRejected):
            await text(ours.generate(Request("double", SYSTEM, options)))
        assert len(server.bodies) == 4


async def test_the_first_request_is_closed_before_the_second_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the server keeps the refused one open: its body never ends, and still counts."""
    monkeypatch.setattr("app.backends.http.error_body.ERROR_BODY_TIMEOUT", 0.2)
    left = asyncio.Event()

    class Endless(Server):
        async def _chat(self, request: web.Request) -> web.StreamResponse:
            body = msgspec.json.decode(await request.read())
            self.bodies.append(body)
            if "stream_options" not in body:
                await asyncio.wait_for(left.wait(), 5)
                return await self.generate(request)
            response = web.StreamResponse(status=400)
            await response.prepare(request)
            await response.write(b'{"error": "stream_options?"')
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
            return response

    async with Endless() as server, backend(server.url) as ours:
        assert await text(ours.generate(Request("double", ASKED))) == WORDS
        assert len(server.bodies) == 2


@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_a_stop_during_the_second_try(how: str) -> None:
    """It is cut short at once, and nothing is left open at the model."""
    reached, never = asyncio.Event(), asyncio.Event()

    class Slow(Server):
        async def _chat(self, request: web.Request) -> web.StreamResponse:
            body = msgspec.json.decode(await request.read())
            self.bodies.append(body)
            if "stream_options" in body:
                return web.json_response(openai_error("stream_options?"), status=400)
            reached.set()
            try:
                await never.wait()
            except asyncio.CancelledError:
                self.open.add(None)  # the client has left
                raise
            raise AssertionError("it was never stopped")

    async with Slow() as server, backend(server.url) as ours:
        generation = ours.generate(Request("double", ASKED))
        reading = asyncio.create_task(generation.read())
        async with asyncio.timeout(10):
            await reached.wait()
            if how == "abort":
                generation.abort()
            else:
                reading.cancel()
            await asyncio.wait({reading})
            await generation.wait_closed()
            await until(lambda: None in server.open)
        assert reading.cancelled() or isinstance(reading.exception(), UpstreamError)
        assert ours.open == 0
        assert len(server.bodies) == 2


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_stop_between_the_tries(steps: int) -> None:
    """However far the retry has come, nothing is left of it."""
    refuse = refusing("stream_options", openai_error("stream_options?"))
    async with Server(refuse=refuse) as server, backend(server.url) as ours:
        generation = ours.generate(Request("double", [ChatMessage("user", "fault=hang-before-first")]))
        reading = asyncio.create_task(generation.read())
        async with asyncio.timeout(10):
            await until(lambda: server.bodies)
            for _ in range(steps):
                await asyncio.sleep(0)
            generation.abort()
            await asyncio.wait({reading})
            await generation.wait_closed()
            assert ours.open == 0
            await server.ledger.until(lambda ledger: ledger.open == 0)
        assert server.most <= 1
