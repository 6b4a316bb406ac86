"""A refusal after a 200: the server has sent its headers before it looks at the request. Over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.chat.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from app.chat.ports import ChatMessage, Delta, Generation, Options, Request
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble

ASKED = [ChatMessage("user", "Hi")]
SYSTEM = [ChatMessage("system", "Be brief."), *ASKED]
WORDS = "The river turns the wheel and flows on."

Refuse = Callable[[dict[str, Any]], web.Response | None]


class OpenAIServer(OpenAIDouble):
    """A double that refuses some requests."""

    def __init__(self, refuse: Refuse) -> None:
        super().__init__()
        self.refuse = refuse
        self.bodies: list[dict[str, Any]] = []
        self.open: set[Any] = set()
        self.most = 0  # connections of answers that were open at a time

    async def generate(self, request: web.Request) -> web.StreamResponse:
        self.open = {each for each in self.open if each is not None and not each.is_closing()}
        self.open.add(request.transport)
        self.most = max(self.most, len(self.open))
        self.bodies.append(msgspec.json.decode(await request.read()))
        return self.refuse(self.bodies[-1]) or await super().generate(request)


class OllamaServer(OllamaDouble):
    """A double that refuses some requests."""

    def __init__(self, refuse: Refuse) -> None:
        super().__init__()
        self.refuse = refuse
        self.bodies: list[dict[str, Any]] = []

    async def generate(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(msgspec.json.decode(await request.read()))
        return self.refuse(self.bodies[-1]) or await super().generate(request)


@asynccontextmanager
async def openai(refuse: Refuse) -> AsyncIterator[tuple[OpenAIServer, OpenAIBackend]]:
    async with OpenAIServer(refuse) as server:
        ours = OpenAIBackend(server.url, logger=structlog.get_logger())
        try:
            yield server, ours
        finally:
            await ours.aclose()


@asynccontextmanager
async def ollama(refuse: Refuse) -> AsyncIterator[tuple[OllamaServer, OllamaBackend]]:
    async with OllamaServer(refuse) as server:
        ours = OllamaBackend(server.url, logger=structlog.get_logger())
        try:
            yield server, ours
        finally:
            await ours.aclose()


async def text(generation: Generation) -> str:
    pieces: list[str] = []
    while deltas := await generation.read():
        pieces += [piece for delta in deltas if isinstance(delta, Delta) for piece in delta.texts]
    return "".join(pieces)


def stream(body: str) -> web.Response:
    return web.Response(text=body, content_type="text/event-stream")


def error_event(message: str, **more: Any) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", **more}
    return stream(f"event: error\ndata: {msgspec.json.encode({'error': error}).decode()}\n\n")


def chunk_with_error(message: str) -> web.Response:
    return stream(f"data: {msgspec.json.encode({'error': {'message': message, 'code': 400}}).decode()}\n\n")


def choice_with_error(message: str) -> web.Response:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"message": message}}
    return stream(f"data: {msgspec.json.encode({'choices': [choice]}).decode()}\n\ndata: [DONE]\n\n")


def after_signs_of_life(message: str) -> web.Response:
    role = msgspec.json.encode({"choices": [{"delta": {"role": "assistant", "content": ""}}]}).decode()
    error = msgspec.json.encode({"error": message}).decode()
    return stream(f": processing\n\ndata: {role}\n\ndata: {error}\n\n")


def json_body(message: str) -> web.Response:
    return web.json_response({"error": {"message": message}})


def plain_event(message: str) -> web.Response:
    return stream(f"event: error\ndata: {message}\n\n")


SHAPES = [error_event, chunk_with_error, choice_with_error, after_signs_of_life, json_body, plain_event]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_parameter_refused(shape: Callable[[str], web.Response]) -> None:
    """Sent again without it, on one connection at a time, and remembered."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        return shape("Unknown argument: stream_options") if "stream_options" in body else None

    async with openai(refuse) as (server, ours):
        with capture_logs() as logs:
            assert await text(ours.generate(Request("double", ASKED))) == WORDS
            assert await text(ours.generate(Request("double", ASKED))) == WORDS
        assert ["stream_options" in body for body in server.bodies] == [True, False, False]
        assert server.most == 1
        assert ours.open == 0
        assert [line["changes"] for line in logs if line["event"] == "model_server_adapted"] == [
            "stream_options left out"
        ]


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_system_role_refused(shape: Callable[[str], web.Response]) -> None:
    """The system prompt goes in front of the first message of the user."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        return shape("System role not supported") if body["messages"][0]["role"] == "system" else None

    async with openai(refuse) as (server, ours):
        assert await text(ours.generate(Request("double", SYSTEM))) == WORDS
        assert server.bodies[1]["messages"] == [{"role": "user", "content": "Be brief.\n\nHi"}]


async def test_all_of_them_in_a_row() -> None:
    """Each once, whichever way it comes; the next prompt is sent as it is taken."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        if "stream_options" in body:
            return web.json_response({"error": "stream_options?"}, status=400)
        if "max_tokens" in body:
            return error_event("Unsupported parameter", param="max_tokens")
        return error_event("system role?") if body["messages"][0]["role"] == "system" else None

    async with openai(refuse) as (server, ours):
        for _ in range(2):
            assert await text(ours.generate(Request("double", SYSTEM, Options(max_tokens=7)))) == WORDS
        assert len(server.bodies) == 5
        assert server.most == 1


async def test_a_server_that_refuses_everything_is_asked_a_few_times() -> None:
    """What it says last is told, and nothing is remembered."""
    refuse: Refuse = lambda body: error_event("stream_options, max_tokens, system role")  # noqa: E731
    async with openai(refuse) as (server, ours):
        for times in (1, 2):
            with pytest.raises(UpstreamRejected, match="stream_options, max_tokens") as caught:
                await text(ours.generate(Request("double", SYSTEM, Options(max_tokens=7))))
            assert "The option max_tokens was set in this chat" in str(caught.value)
            assert len(server.bodies) == 4 * times


async def test_an_option_that_somebody_set_is_named() -> None:
    """As in a refusal by the status."""
    refuse: Refuse = lambda body: error_event("'temperature' does not support 0.5 with this model")  # noqa: E731
    async with openai(refuse) as (server, ours):
        with pytest.raises(UpstreamRejected, match=r"does not support.* The option temperature was set"):
            await text(ours.generate(Request("double", ASKED, Options(temperature=0.5))))
        assert len(server.bodies) == 1


async def test_never_after_text() -> None:
    """What was said stands, and is not asked for a second time."""
    chunk = msgspec.json.encode({"choices": [{"delta": {"content": "So"}}]}).decode()
    body = f'data: {chunk}\n\ndata: {{"error": "stream_options?"}}\n\n'
    for reply in (body, body.replace('"content"', '"reasoning"')):
        async with openai(lambda asked, reply=reply: stream(reply)) as (server, ours):  # type: ignore[misc]
            generation = ours.generate(Request("double", ASKED))
            assert [delta.texts for delta in await generation.read()] == [["So"]]
            with pytest.raises(UpstreamError, match="stream_options"):
                await generation.read()
            assert len(server.bodies) == 1


async def test_other_errors_are_no_refusals() -> None:
    """A busy server is not asked again at once, whatever its message mentions."""
    busy = error_event("stream_options are slow today: rate limit", code=429)
    async with openai(lambda body: busy) as (server, ours):
        with pytest.raises(UpstreamBusy):
            await text(ours.generate(Request("double", ASKED)))
        assert len(server.bodies) == 1


async def test_an_abort_while_it_is_asked_again() -> None:
    """Stopped before the second answer: its connection is closed as well."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        if "stream_options" in body:
            return error_event("stream_options?")
        generation.abort()
        return None

    async with openai(refuse) as (server, ours):
        generation = ours.generate(Request("double", ASKED))
        with pytest.raises(UpstreamError):
            await text(generation)
        await generation.wait_closed()
        assert ours.open == 0
        assert len(server.bodies) == 2


@pytest.mark.parametrize("status", [200, 400])
async def test_what_a_server_that_speaks_as_ollama_refuses(status: int) -> None:
    """`truncate` and the system role, by the status or in the place of the answer; that is remembered."""

    def refuse(body: dict[str, Any]) -> web.Response | None:
        if "truncate" in body:
            return web.json_response({"error": "unknown field: truncate"}, status=status)
        if body["messages"][0]["role"] == "system":
            return web.json_response({"error": "System role not supported"}, status=status)
        return None

    async with ollama(refuse) as (server, ours):
        with capture_logs() as logs:
            for _ in range(2):
                assert await text(ours.generate(Request("double", SYSTEM))) == WORDS
        assert ["truncate" in body for body in server.bodies] == [True, False, False, False]
        roles = [body["messages"][0]["role"] for body in server.bodies]
        assert roles == ["system", "system", "user", "user"]
        [line] = [line for line in logs if line["event"] == "model_server_adapted"]
        assert line["backend"] == "ollama"


async def test_an_option_that_ollama_refuses_is_named_as_people_know_it() -> None:
    """On the wire it has another name."""
    answer = {"error": 'option "num_predict" must be of type integer'}
    async with ollama(lambda body: web.json_response(answer, status=400)) as (_, ours):
        with pytest.raises(UpstreamRejected, match="The option max_tokens was set"):
            await text(ours.generate(Request("double", ASKED, Options(max_tokens=7))))


async def test_an_ordinary_failure_moves_no_system_prompt() -> None:
    """The name of the member that carries the words is not one of them."""
    answer = {"error": {"message": "the system ran out of disk space"}}
    async with openai(lambda body: web.json_response(answer, status=400)) as (server, ours):
        with pytest.raises(UpstreamRejected, match="disk space"):
            await text(ours.generate(Request("double", SYSTEM)))
        assert len(server.bodies) == 1
