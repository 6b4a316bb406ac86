"""Traces: one for each exchange, from the POST to the end, through the model server, to a collector."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.chat.errors import UpstreamTruncated
from app.chat.ports import Usage
from app.telemetry import otel, tracing
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.doubles.otlp import Collector
from tests.support.recorder import Recorder
from tests.support.server import serve
from tests.support.waiting import until
from tests.web.stage import on_stage

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1", "baggage": "user=alice"}
POST = "POST /api/sessions/{session_id}/streams"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine, and spans are sent at once."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that the server is told about."""
    async with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the server exports, in memory."""
    exporter = InMemorySpanExporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(otel, "exporter", lambda: exporter)
    return exporter


def by_name(memory: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    """Return the exported spans."""
    found: dict[str, list[ReadableSpan]] = {}
    for span in memory.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


async def test_an_exchange_is_one_trace(memory: InMemorySpanExporter, tmp_path: Path) -> None:
    """POST, admission, upstream with the first token, end: children of the POST, each within its time."""
    async with on_stage(tmp_path) as stage:
        posted = await stage.client.post("s1", "hello", options={"temperature": 0.5, "max_tokens": 7})
        generation = await stage.opened()
        generation.say("Hi")
        generation.say(" there")
        generation.finish("length", Usage(11, 22))
        await stage.client.read_stream(posted["stream_id"])
    spans = {name: span for name, (span,) in by_name(memory).items()}
    assert set(spans) == {POST, "admission", "chat puppet", "end"}
    post = spans[POST]
    assert post.parent is None
    assert {span.context.trace_id for span in spans.values() if span.context} == {
        post.context and post.context.trace_id
    }
    for name in ("admission", "chat puppet", "end"):
        parent = spans[name].parent
        assert parent is not None
        assert post.context is not None
        assert parent.span_id == post.context.span_id
    assert attributes(post) == {
        "http.request.method": "POST",
        "http.route": "/api/sessions/{session_id}/streams",
        "http.response.status_code": 201,
        "tailrace.stream.id": posted["stream_id"],
    }
    upstream = spans["chat puppet"]
    assert attributes(upstream) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "puppet",
        "gen_ai.request.model": "puppet",
        "gen_ai.conversation.id": "s1",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 7,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 22,
        "tailrace.outcome": "complete",
        "tailrace.stream.id": posted["stream_id"],
        "tailrace.upstream_closed": True,
    }
    assert upstream.kind.name == "CLIENT"
    assert [event.name for event in upstream.events] == ["first token"]
    assert upstream.status.is_unset
    times = [(span.start_time or 0, span.end_time or 0) for span in (post, upstream, spans["end"])]
    assert times == sorted(times)
    assert attributes(spans["end"]) == {"tailrace.outcome": "complete"}


async def test_a_newer_prompt_shows_what_it_waited_for(memory: InMemorySpanExporter, tmp_path: Path) -> None:
    """Its `wait` ends when its turn comes, and the older one's upstream is marked as replaced, not as failed."""
    async with on_stage(tmp_path) as stage:
        older = await stage.client.post("s1", "old")
        await stage.opened()
        newer = await stage.client.post("s1", "new")
        (await stage.opened(2)).finish()
        await stage.client.read_stream(newer["stream_id"])
    (wait,) = by_name(memory)["wait"]
    assert attributes(wait) == {"tailrace.stream.before": older["stream_id"]}
    old, new = sorted(by_name(memory)["chat puppet"], key=lambda span: span.start_time or 0)
    times = [wait.start_time or 0, old.end_time or 0, wait.end_time or 0, new.start_time or 0]
    assert times == sorted(times)
    outcomes = {
        attributes(span)["tailrace.stream.id"]: (attributes(span)["tailrace.outcome"], span.status.is_unset)
        for span in by_name(memory)["chat puppet"]
    }
    assert outcomes == {older["stream_id"]: ("superseded", True), newer["stream_id"]: ("complete", True)}
    assert all("error.type" not in attributes(span) for span in by_name(memory)["chat puppet"])


async def test_a_failure_names_its_kind_and_quotes_nothing(
    memory: InMemorySpanExporter, tmp_path: Path
) -> None:
    """No prompt, answer, system prompt or message of a model server is in any span."""
    async with on_stage(tmp_path) as stage:
        await stage.client.post("s1", "secret", options={"system": "secret", "stop": ["secret"]})
        generation = await stage.opened()
        generation.say("secret")
        generation.fail(UpstreamTruncated("It broke off: secret."))
        await stage.settled()
    (upstream,) = by_name(memory)["chat puppet"]
    assert attributes(upstream)["error.type"] == "upstream_truncated"
    assert upstream.status.status_code.name == "ERROR"
    assert "secret" not in "".join(span.to_json() for span in memory.get_finished_spans())


async def test_a_refusal_ends_its_trace(memory: InMemorySpanExporter, tmp_path: Path) -> None:
    """With the status and the code; a refused request is no error of the server."""
    async with on_stage(tmp_path) as stage:
        await stage.client.post("s1", "hello", model="puppet/none", if_active="reject")
        await stage.client.post("s1", "again", if_active="reject")
        await stage.client.post("s2", "")
    refused = [span for span in by_name(memory)[POST] if "error.type" in attributes(span)]
    assert [
        (attributes(span)["error.type"], attributes(span)["http.response.status_code"]) for span in refused
    ] == [("unknown_model", 422), ("prompt_empty", 422)]
    assert all(span.status.is_unset for span in refused)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_the_trace_goes_through(collector: Collector, tmp_path: Path, kind: str) -> None:
    """From the caller's `traceparent` to the model server's, and to the collector; baggage stays here."""
    double = OllamaDouble() if kind == "ollama" else OpenAIDouble()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(double)
        chosen: dict[str, Any] = {f"{kind}_url": double.url, "scripted": False}
        live = await stack.enter_async_context(serve(tmp_path, **chosen))
        model = (await live.client.get("/api/models"))["models"][0]["id"]
        path, body = "/api/sessions/s1/streams", {"prompt": "hello", "model": model}
        async with live.client.http.post(path, json=body, headers=CALLER) as response:
            stream_id = (await response.json())["stream_id"]
        await live.client.read_stream(stream_id)
        await until(lambda: any(span.name == "end" for span in collector.spans))
    assert {span.trace_id for span in collector.spans} == {TRACE}
    post, upstream = collector.named("POST"), collector.named("chat ")
    assert post.parent_id == SPAN
    assert upstream.parent_id == post.span_id
    assert {span.service for span in collector.spans} == {"tailrace"}
    (sent,) = double.sent_headers
    assert sent["traceparent"] == f"00-{TRACE}-{upstream.span_id}-01"
    assert sent["tracestate"] == "vendor=1"
    assert "baggage" not in sent


async def test_the_standard_variables_count(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's name, headers for the collector, and the sampler."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-chat")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    async with serve(tmp_path) as live:
        await live.client.ask("s1", "hello", model="scripted/echo")
    assert {span.service for span in collector.spans} == {"our-chat"}
    assert collector.headers[0]["x-team"] == "blue"
    count = len(collector.spans)
    assert count > 0
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with serve(tmp_path) as live:
        await live.client.ask("s1", "hello", model="scripted/echo")
    assert len(collector.spans) == count


@pytest.mark.slow
async def test_a_collector_that_is_away_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come as ever, and the server ends within its bound."""
    async with asyncio.timeout(10):
        with_nobody = "http://127.0.0.1:9"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", with_nobody)
        async with serve(tmp_path) as live:
            events = await live.client.ask("s1", "hello", model="scripted/echo")
            assert events[-1].data["outcome"] == "complete"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_when_exchanges_are_traced(variables: dict[str, str], wanted: bool) -> None:
    """If a collector is named, unless tracing is turned off."""
    assert tracing.is_wanted(variables) is wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "event"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "tracing_protocol_ignored"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "tracing_unavailable"),
    ],
)
async def test_a_wrong_variable_is_reported_and_the_server_runs(
    variables: dict[str, str], event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log, in a sentence."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    log = Recorder()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with tracing.opened({**endpoint, **variables}, log) as tracer:
        tracer.exchange({}, "/").refused("x", 400)
    assert event in log.events


async def test_without_the_extra_the_log_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the server runs."""
    monkeypatch.delitem(sys.modules, "app.telemetry.otel")
    monkeypatch.delattr("app.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    log = Recorder()
    async with tracing.opened({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, log):
        pass
    assert log.events == ["tracing_unavailable"]
    assert "tailrace[otel]" in log.fields["tracing_unavailable"]["advice"]


@pytest.mark.slow
def test_nothing_of_it_is_imported_unless_it_is_wanted() -> None:
    """In a process of its own, with all of the server imported."""
    look = "import sys, app.wiring.serving; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
