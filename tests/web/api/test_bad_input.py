"""Bad requests: each is answered with a 4xx that says what to do, and changes nothing."""

from __future__ import annotations

import asyncio
import gc
import io
import logging

import pytest
from yarl import URL

from app.web.problems import ProblemError
from tests.support.client import Client
from tests.support.server import LiveServer
from tests.web.stage import JSON, Stage, problem

STREAMS = "/api/sessions/s1/streams"

MANY = b",".join([b"{}"] * 30_000)  # elements that nobody needs
BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty prompt": (b'{"prompt":""}', 422, "prompt_empty"),
    "spaces": (b'{"prompt":" \\t\\r\\n "}', 422, "prompt_empty"),
    "wide spaces": ('{"prompt":"\u2003\u00a0\u3000"}'.encode(), 422, "prompt_empty"),
    "prompt missing": (b"{}", 422, "invalid_request"),
    "number": (b'{"prompt":1}', 422, "invalid_request"),
    "null": (b'{"prompt":null}', 422, "invalid_request"),
    "list": (b'{"prompt":["a"]}', 422, "invalid_request"),
    "no object": (b'"hello"', 422, "invalid_request"),
    "unknown member": (b'{"prompt":"a","promt":"b"}', 422, "invalid_request"),
    "unknown if_active": (b'{"prompt":"a","if_active":"now"}', 422, "invalid_request"),
    "unknown option": (b'{"prompt":"a","options":{"heat":1}}', 422, "invalid_request"),
    "option of another type": (b'{"prompt":"a","options":{"seed":"x"}}', 422, "invalid_request"),
    "model of another type": (b'{"prompt":"a","model":1}', 422, "invalid_request"),
    "temperature": (b'{"prompt":"a","options":{"temperature":-1}}', 422, "invalid_request"),
    "top_p": (b'{"prompt":"a","options":{"top_p":2}}', 422, "invalid_request"),
    "max_tokens": (b'{"prompt":"a","options":{"max_tokens":0}}', 422, "invalid_request"),
    "huge seed": (
        b'{"prompt":"a","options":{"seed":123456789012345678901234567890}}',
        422,
        "invalid_request",
    ),
    "infinite seed": (b'{"prompt":"a","options":{"seed":1e999}}', 422, "invalid_request"),
    "no body": (b"", 400, "invalid_json"),
    "no JSON": (b"prompt=hello", 400, "invalid_json"),
    "cut off": (b'{"prompt":"hel', 400, "invalid_json"),
    "more behind it": (b'{"prompt":"a"} {}', 400, "invalid_json"),
    "deep": (b"[" * 100_000, 422, "invalid_request"),
    "invalid UTF-8": (b'{"prompt":"\xff\xfe"}', 400, "invalid_utf8"),
    "UTF-16": ('{"prompt":"a"}'.encode("utf-16"), 400, "invalid_utf8"),
    "lone surrogate": (b'{"prompt":"\\ud800"}', 400, "invalid_json"),
    "too long": (b'{"prompt":"%b"}' % (b"x" * 262_145), 413, "prompt_too_long"),
    "too many bytes": (b'{"prompt":"%b"}' % ("\u00e9" * 131_073).encode(), 413, "prompt_too_long"),
    "far too long": (b'{"prompt":"%b"}' % (b"x" * 3_000_000), 413, "prompt_too_long"),
    "far too long, of another member": (b'{"model":"%b"}' % (b"x" * 3_000_000), 413, "prompt_too_long"),
    "far too long, and cut off": (b'{"prompt":"%b' % (b"x" * 3_000_000), 400, "invalid_json"),
    "no id": (b'{"regenerate":"\\u0000"}', 422, "invalid_request"),
    "no id of an image": (b'{"prompt":"a","images":[{"image_id":"\\u0000"}]}', 422, "invalid_request"),
    "images": (b'{"prompt":"a","images":[%b]}' % MANY, 413, "too_many_images"),
    "images, replaced": (b'{"prompt":"a","images":[%b],"images":[]}' % MANY, 413, "too_many_images"),
    "stops": (b'{"prompt":"a","options":{"stop":[%b]}}' % MANY, 422, "invalid_stop"),
    "stops, replaced": (b'{"options":{"stop":[%b]},"options":{},"prompt":"a"}' % MANY, 422, "invalid_stop"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_bad_bodies(stage: Stage, case: str) -> None:
    """A problem with a stable code; no session comes into being, and the model is not asked."""
    data, status, code = BODIES[case]
    async with stage.http.post(STREAMS, data=io.BytesIO(data), headers={"Content-Type": JSON}) as response:
        await problem(response, status, code)
    assert (await stage.client.get("/api/sessions/s1"))["http"] == 404
    assert not stage.puppet.generations


async def test_a_refusal_quotes_no_megabytes(stage: Stage) -> None:
    """The beginning of an unknown member tells enough."""
    async with stage.http.post(STREAMS, json={"prompt": "a", "x" * 1_000_000: 1}) as response:
        refused = await problem(response, 422, "invalid_request")
    assert "unknown field `xxx" in refused["detail"]
    assert len(refused["detail"]) < 300


async def test_a_prompt_of_the_longest_length_is_taken(stage: Stage) -> None:
    """262144 bytes, however JSON writes them."""
    for number, letter in enumerate([b"x", b"\\u001f"], start=1):
        async with stage.http.post(
            STREAMS, data=io.BytesIO(b'{"prompt":"a%b"}' % (letter * 262_143)), headers={"Content-Type": JSON}
        ) as response:
            assert response.status == 201
        assert len((await stage.opened(number)).request.messages[-1].content) == 262_144


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/jsonx", None, "nonsense"]
)
async def test_a_wrong_content_type(stage: Stage, content_type: str | None) -> None:
    """415: the body is not guessed at, which also keeps simple cross-site requests out."""
    headers = {"Content-Type": content_type} if content_type else {}
    skip = () if content_type else ("Content-Type",)
    async with stage.http.post(
        STREAMS, data=b'{"prompt":"hello"}', headers=headers, skip_auto_headers=skip
    ) as response:
        await problem(response, 415, "unsupported_media_type")


async def test_json_with_a_charset_is_json(stage: Stage) -> None:
    """Parameters of the content type do not matter."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with stage.http.post(STREAMS, data=b'{"prompt":"hello"}', headers=headers) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    "model", ["scripted/nope", "nobody/short", "short", "/", "scripted/", "\u0000", "x" * 9999]
)
async def test_an_unknown_model_is_answered_with_the_nearest_ones(stage: Stage, model: str) -> None:
    """422 with a few of those that would work, and with the one that was nearly named first."""
    async with stage.http.post(STREAMS, json={"prompt": "hello", "model": model}) as response:
        body = await problem(response, 422, "unknown_model")
    known = {each["id"] for each in (await stage.client.get("/api/models"))["models"]}
    assert 0 < len(body["models"]) <= 5 < len(known)
    assert set(body["models"]) <= known
    assert "short" not in model or body["models"][0] == "scripted/short"
    assert (await stage.client.get("/api/sessions/s1"))["http"] == 404


@pytest.mark.parametrize("session_id", ["a.b", "a%20b", "caf%C3%A9", "x" * 65, "a%0d%0ab", "%2e%2e", "a%00"])
async def test_ids_are_checked(client: Client, session_id: str) -> None:
    """422 wherever a session or a stream is named by what cannot be an id."""
    for method, path in (
        ("POST", "/api/sessions/{}/streams"),
        ("GET", "/api/sessions/{}/events"),
        ("DELETE", "/api/sessions/{}/stream"),
        ("GET", "/api/sessions/{}"),
        ("PATCH", "/api/sessions/{}"),
        ("DELETE", "/api/sessions/{}"),
        ("GET", "/api/streams/{}"),
        ("DELETE", "/api/streams/{}"),
        ("GET", "/api/streams/{}/events"),
    ):
        body = {"prompt": "x"} if method == "POST" else {"title": "x"} if method == "PATCH" else None
        url = URL(client.url + path.format(session_id), encoded=True)
        async with client.http.request(method, url, json=body) as response:
            await problem(response, 422, "invalid_id")


async def test_ids_of_every_allowed_kind(stage: Stage) -> None:
    """1 to 64 of A-Z, a-z, 0-9, _ and -."""
    for session_id in ("a", "-", "_", "0" * 64, "A-b_9"):
        assert (await stage.client.post(session_id, "hello"))["http"] == 201
        assert (await stage.client.get(f"/api/sessions/{session_id}"))["session_id"] == session_id


async def test_an_address_that_is_not_there(client: Client) -> None:
    """404, as a problem for programs and as a page for people."""
    async with client.http.get("/api/nothing") as response:
        await problem(response, 404, "not_found")
    async with client.http.get("/nothing", headers={"Accept": "text/html"}) as response:
        assert (response.status, response.content_type) == (404, "text/html")
    for path in ("/static/../app/config/settings.py", "/static/%2e%2e/setup.cfg", "/static/"):
        async with client.http.get(path) as response:
            assert response.status in (403, 404)


async def test_a_method_that_is_not_taken(client: Client) -> None:
    """405 with those that are."""
    async with client.http.put("/api/sessions/s1", json={}) as response:
        await problem(response, 405, "method_not_allowed")
        assert set(response.headers["Allow"].replace(" ", "").split(",")) >= {"DELETE", "GET", "PATCH"}


async def test_what_is_not_http_is_turned_down(server: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage, and headers without end, are answered 400, with at most one line in the log each; the server goes on."""
    caplog.set_level(logging.INFO, "aiohttp.server")
    host, port = server.url.removeprefix("http://").split(":")
    for garbage in (b"\x00\xff\x13\x37\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"x" * 20_000 + b"\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        status = await reader.readline()
        assert status.split()[1] == b"400"
        writer.close()
    assert (await server.client.get("/healthz"))["http"] == 200
    reports = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert [(record.levelname, record.exc_info) for record in reports] == [("INFO", None)]
    assert "xxx" not in caplog.text


@pytest.mark.parametrize("is_form", [False, True])
async def test_a_refusal_keeps_no_body(stage: Stage, is_form: bool) -> None:
    """The garbage collector looks seldom, and a body may have megabytes: nothing may wait for it."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            if is_form:
                async with stage.http.post(STREAMS, data={"prompt": " "}) as response:
                    assert response.status == 422  # with the page
            else:
                async with stage.http.post(STREAMS, json={"prompt": "Hi", "nonsense": 1}) as response:
                    await problem(response, 422, "invalid_request")
        kept = [error for error in gc.get_objects() if isinstance(error, ProblemError)]
    finally:
        gc.enable()
    assert kept == []
