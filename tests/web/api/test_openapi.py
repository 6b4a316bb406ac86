"""The OpenAPI document is true: requests made from it get the answers that it promises, and it names every address."""

from __future__ import annotations

import ast
import json
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis import checks

from app.web import routes
from app.web.routes import document
from tests.deploy.running import tailrace
from tests.support.client import Client
from tests.web.stage import SSE, Stage

pytestmark = pytest.mark.slow

Case: TypeAlias = schemathesis.Case[Any]

# Addresses for browsers. A form is a page's business; the rest of the API is for programs.
PAGES = {
    ("GET", "/"),
    ("GET", "/sessions/{session_id}"),
    ("GET", "/sessions/{session_id}/snapshot"),
    ("GET", "/events"),
    ("POST", "/sessions/{session_id}/stop"),
    ("POST", "/sessions/{session_id}/refresh"),
    ("GET", "/sessions/{session_id}/manage"),
    ("POST", "/sessions/{session_id}/rename"),
    ("POST", "/sessions/{session_id}/delete"),
    ("POST", "/sessions/{session_id}/restore"),
    ("POST", "/preferences"),
    ("GET", "/models"),
    ("GET", "/ops"),
    ("GET", "/ops/events"),
    ("GET", "/login"),
    ("POST", "/logout"),
    ("POST", "/login"),
    ("GET", "/static/{path}"),
}
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

# The same requests every time, and no verdict on how long they take.
GENERATING = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
JSON_BODY = {"Content-Type": "application/json"}

# The two streams of events are left out here, for a session's never ends: `test_what_is_said_of_the_events` has them.
api = schemathesis.openapi.from_dict(document()).exclude(path_regex="/events$")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A live server in a process of its own."""
    with tailrace(tmp_path_factory.mktemp("openapi")) as port:
        yield f"http://127.0.0.1:{port}"


@api.parametrize()
@settings(GENERATING, max_examples=25)
def test_requests_made_from_the_document(case: Case, address: str) -> None:
    """Valid and invalid ones: each answer has a status, a type and a body that the document knows, none is a 500."""
    case.call_and_validate(base_url=address, checks=CHECKS, timeout=20)


def registered(address: str) -> dict[str, str]:
    """Register two streams in a session of its own, one with an image; return their ids."""
    session_id = secrets.token_urlsafe(12)
    url = f"{address}/api/sessions/{session_id}"
    stream_id = ""
    for body in (
        b'{"prompt":"look","model":"scripted/vision","images":[{"data":"R0lGODlhAQABAAAAACwAAAAAAQABAAACAkwBADs="}]}',
        b'{"prompt":"hello","model":"scripted/long"}',
    ):
        request = urllib.request.Request(f"{url}/streams", body, JSON_BODY)
        with urllib.request.urlopen(request, timeout=10) as response:
            stream_id = json.load(response)["stream_id"]
    with urllib.request.urlopen(url, timeout=10) as response:
        image_id = json.load(response)["messages"][0]["images"][0]["image_id"]
    return {"session_id": session_id, "stream_id": stream_id, "image_id": image_id}


def forget(address: str, session_id: str) -> None:
    """Delete a session, if the request has not: its long answer would keep the server from the next ones."""
    request = urllib.request.Request(f"{address}/api/sessions/{session_id}", method="DELETE")
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10):
        pass


@api.include(path_regex="_id}").parametrize()
@settings(GENERATING, max_examples=8)
def test_requests_about_what_is_there(case: Case, address: str) -> None:
    """The same, with the ids of a session and a stream that exist."""
    ids = registered(address)
    case.path_parameters = {name: ids[name] for name in case.path_parameters}
    case.call_and_validate(base_url=address, checks=CHECKS, timeout=20)
    forget(address, ids["session_id"])


def test_every_reference_leads_to_a_schema() -> None:
    """And no two structs share a name, which would give both another one."""
    text = json.dumps(document())
    known = document()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/([^\"]+)", text)) <= set(known)
    assert [name for name in known if "." in name or "_" in name] == []


def test_handlers_write_the_structs_of_the_document() -> None:
    """No handler of the API answers with a dictionary that it made beside the struct."""
    calls = [
        (path.name, node.args[0])
        for path in sorted(Path(routes.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("respond_json")
    ]
    assert len(calls) > 8
    # The document itself is a dictionary.
    assert {name for name, value in calls if isinstance(value, ast.Dict)} == {"routes.py"}


async def test_what_is_said_of_the_events(stage: Stage) -> None:
    """The two streams of events answer with the statuses and types of the document, each seen once."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    last = (await stage.client.read_stream(stream_id))[-1].id
    seen: dict[str, dict[str, str]] = {}
    for path, requests in {
        "/api/streams/{stream_id}/events": [
            (stream_id, ""),
            (stream_id, f"?after={last}"),
            ("x", ""),
            ("a.b", ""),
        ],
        "/api/sessions/{session_id}/events": [("s1", ""), ("x", ""), ("x", "?cursor=1-1"), ("a.b", "")],
    }.items():
        for name, query in requests:
            async with stage.http.get(re.sub(r"{\w+}", name, path) + query) as response:
                content_type = response.content_type if response.status != 204 else ""
                seen.setdefault(path, {})[str(response.status)] = content_type
    problem = "application/problem+json"
    assert seen == {
        "/api/streams/{stream_id}/events": {"200": SSE, "204": "", "404": problem, "422": problem},
        "/api/sessions/{session_id}/events": {"200": SSE, "404": problem, "422": problem},
    }
    for path, seen_answers in seen.items():
        promised = document()["paths"][path]["get"]["responses"]
        for status, content_type in seen_answers.items():
            assert list(promised[status].get("content", {"": None})) == [content_type]


def addresses(app: web.Application) -> set[tuple[str, str]]:
    """Every method and address that the application answers to. HEAD comes with GET."""
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


async def test_every_address_is_in_the_document(stage: Stage) -> None:
    """All but the pages; and everything in the document is there."""
    described = {
        (method.upper(), path) for path, operations in document()["paths"].items() for method in operations
    }
    assert described == addresses(stage.live.app) - PAGES
    assert addresses(stage.live.app) >= PAGES


async def test_the_document_is_served(client: Client) -> None:
    """As it is, under its own address."""
    served = await client.get("/api/openapi.json")
    assert served.pop("http") == 200
    assert served == document()
    assert served["openapi"].startswith("3.1")


async def test_the_document_names_the_bounds(tmp_path: Path) -> None:
    """What is refused outside of its bounds has them in the document, so that programs know them."""
    parameters = document()["paths"]["/api/streams/{stream_id}"]["delete"]["parameters"]
    (wait,) = (p["schema"] for p in parameters if p["name"] == "wait")
    assert (wait["minimum"], wait["maximum"]) == (0, 5)
    options = document()["components"]["schemas"]["Options"]["properties"]
    bounds = {kind.get("maximum") for kind in options["temperature"]["anyOf"]}
    assert bounds == {2, None}


async def test_each_event_is_as_the_document_has_it(stage: Stage) -> None:
    """Every event that a stream may send has the fields of its schema, and no others."""
    answer = document()["paths"]["/api/streams/{stream_id}/events"]["get"]["responses"]["200"]
    schemas = answer["content"][SSE]["x-events"]
    told: dict[str, set[str]] = {}
    for model in ("reasoning", "notes", "error-middle"):
        registered = await stage.client.post(model, "hello", model=f"scripted/{model}")
        async with stage.client.events(registered["events_url"] + "?render=html") as events:
            seen = [event async for event in events if event.name != "heartbeat"]
        for event in seen:
            name = schemas[event.name]["$ref"].rpartition("/")[2]
            schema = document()["components"]["schemas"][name]
            assert set(schema["required"]) <= set(event.data) <= set(schema["properties"]), event
            told.setdefault(event.name, set()).update(event.data)
    assert set(told) == set(schemas) - {"reset", "heartbeat", "tail"}
    assert "note" in told["status"]
    assert "error" in told["end"]
