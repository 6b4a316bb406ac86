"""A collector of spans for tests: OTLP over HTTP, on loopback."""

from __future__ import annotations

from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value = str | int | float | bool | list["Value"]


class CollectedSpan:
    """A span as a collector sees it."""

    def __init__(self, span: Span, service: str) -> None:
        self.service = service
        self.name = span.name
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.attributes = _values(span.attributes)
        self.events = [event.name for event in span.events]
        self.failed = span.status.code == 2
        self.message = span.status.message
        self.began, self.ended = span.start_time_unix_nano, span.end_time_unix_nano

    def __repr__(self) -> str:
        return f"<CollectedSpan {self.name!r} {self.attributes}>"


class Collector:
    """Takes spans at `/v1/traces`. Use it as an async context manager."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def named(self, name: str) -> CollectedSpan:
        """Return the only span whose name begins so."""
        (span,) = [span for span in self.spans if span.name.startswith(name)]
        return span

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = str(_values(resource.resource.attributes)["service.name"])
            self.spans += [
                CollectedSpan(span, service) for scope in resource.scope_spans for span in scope.spans
            ]
        return web.Response()


def _values(attributes: object) -> dict[str, Value]:
    pairs: list[KeyValue] = list(attributes)  # type: ignore[call-overload]
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    found: Value = getattr(value, kind or "string_value")
    return found
