"""Traces exchanges through OpenTelemetry. Only `app.telemetry.tracing` imports this, and only if it is wanted.

Names follow the semantic conventions for HTTP and for generative AI. No text of a chat is recorded.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from app import __version__
from app.chat.ports import Logger, Model, Options
from app.chat.records import StreamState
from app.chat.states import Outcome
from app.chat.tracing import NoTracer, Tracer

FLUSH_SECONDS = 0.5  # to send the last spans at shutdown
OPERATION = "chat"
# W3C Trace Context alone. Baggage is not passed on: it may hold what the model server's operator must not know.
_w3c = TraceContextTextMapPropagator()


@asynccontextmanager
async def tracing(logger: Logger) -> AsyncIterator[Tracer]:
    """Export spans for the duration of the block. Endpoint, headers, sampler and so on are from the environment."""
    try:
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    except ValueError as error:
        logger.error("tracing_unavailable", reason=f"A variable OTEL_… is invalid: {error}")
        yield NoTracer()
        return
    logger.info("tracing_started")
    try:
        yield SpanTracer(provider.get_tracer("tailrace", __version__))
    finally:
        # A daemon thread, so that a collector that does not respond cannot keep the process.
        flushing = threading.Thread(target=provider.shutdown, name="trace export", daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, FLUSH_SECONDS)


def exporter() -> SpanExporter:
    """Return the exporter: OTLP over HTTP."""
    return OTLPSpanExporter()


class SpanTracer:
    """Begins the traces of exchanges."""

    def __init__(self, tracer: OtelTracer) -> None:
        self._tracer = tracer

    def exchange(self, headers: Mapping[str, str], route: str) -> SpanTrace:
        """See `Tracer`."""
        return SpanTrace(self._tracer, headers, route)


class SpanTrace:
    """The spans of one exchange. That of the POST is the parent of all others, which may outlast it."""

    def __init__(self, tracer: OtelTracer, headers: Mapping[str, str], route: str) -> None:
        self._tracer = tracer
        caller = _w3c.extract(headers)
        attributes = {"http.request.method": "POST", "http.route": route}
        self._post = tracer.start_span(f"POST {route}", caller, SpanKind.SERVER, attributes)
        self._context = set_span_in_context(self._post, caller)
        self._admission: Span | None = None
        self._wait: Span | None = None
        self._upstream: Span | None = None
        self._end: Span | None = None

    def admitting(self, model: Model) -> None:
        """See `Trace`."""
        self._admission = self._begin("admission", {"gen_ai.request.model": model.name})

    def answered(self, stream_id: str, status: int) -> None:
        """See `Trace`."""
        _finish(self._admission)
        self._post.set_attribute("tailrace.stream.id", stream_id)
        self._post.set_attribute("http.response.status_code", status)
        self._post.end()

    def refused(self, code: str, status: int | None) -> None:
        """See `Trace`."""
        for span in filter(None, (self._admission, self._post)):
            span.set_attribute("error.type", code)
            if (
                status is not None and status >= 500
            ):  # in the conventions for HTTP, a refusal is no error of a server
                span.set_status(Status(StatusCode.ERROR))
        if status is not None:
            self._post.set_attribute("http.response.status_code", status)
        _finish(self._admission)
        self._post.end()

    def waits(self, stream_id: str) -> None:
        """See `Trace`."""
        self._wait = self._begin("wait", {"tailrace.stream.before": stream_id})

    def turn(self) -> None:
        """See `Trace`."""
        _finish(self._wait)

    def upstream(self, session_id: str, model: Model, options: Options) -> Mapping[str, str]:
        """See `Trace`."""
        self._upstream = self._begin(
            f"{OPERATION} {model.name}",
            {
                "gen_ai.operation.name": OPERATION,
                "gen_ai.provider.name": model.backend,
                "gen_ai.request.model": model.name,
                "gen_ai.conversation.id": session_id,
                **_requested(options),
            },
            SpanKind.CLIENT,
        )
        headers: dict[str, str] = {}
        _w3c.inject(headers, set_span_in_context(self._upstream, self._context))
        return headers

    def first_token(self) -> None:
        """See `Trace`."""
        if self._upstream is not None:
            self._upstream.add_event("first token")

    def closed(self, state: Callable[[], StreamState]) -> None:
        """See `Trace`."""
        self._close(state())

    def _close(self, state: StreamState) -> None:
        self._end = self._begin("end", {"tailrace.outcome": str(state.outcome)})
        span = self._upstream
        if span is None:
            return
        span.set_attributes(_found(state))
        if state.outcome is Outcome.FAILED:
            _fail(span, state.error.code if state.error else "_OTHER")
        span.end()

    def ended(self) -> None:
        """See `Trace`."""
        for span in (self._wait, self._upstream, self._end):
            _finish(span)

    def _begin(
        self, name: str, attributes: Mapping[str, AttributeValue], kind: SpanKind = SpanKind.INTERNAL
    ) -> Span:
        return self._tracer.start_span(name, self._context, kind, attributes)


def _resource() -> Resource:
    """Return what the spans are from, as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say."""
    given = Resource.create({"service.version": __version__})
    if str(given.attributes.get("service.name")).startswith("unknown_service"):
        return given.merge(Resource({"service.name": "tailrace"}))
    return given


def _requested(options: Options) -> dict[str, AttributeValue]:
    """Return the sampling parameters that the user has set. The system prompt is text, and left out."""
    given: dict[str, AttributeValue | None] = {
        "gen_ai.request.max_tokens": options.max_tokens,
        "gen_ai.request.temperature": options.temperature,
        "gen_ai.request.top_p": options.top_p,
        "gen_ai.request.seed": options.seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _found(state: StreamState) -> dict[str, AttributeValue]:
    """Return what is known of an answer at its end."""
    found: dict[str, AttributeValue] = {
        "gen_ai.usage.output_tokens": state.completion_tokens,
        "tailrace.outcome": str(state.outcome),
        "tailrace.stream.id": state.stream_id,
        "tailrace.upstream_closed": state.upstream_closed,
    }
    if state.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [state.finish_reason]
    if state.usage is not None:
        found["gen_ai.usage.input_tokens"] = state.usage.prompt_tokens
    return found


def _fail(span: Span, kind: str) -> None:
    """Mark a span as failed. The error's message may quote what a server said of a prompt, and is left out."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _finish(span: Span | None) -> None:
    if span is not None and span.is_recording():
        span.end()
