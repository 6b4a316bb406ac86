"""Whether exchanges are traced: only with the extra `otel`, and with a collector named in the environment.

The environment variables are OpenTelemetry's own. Without them nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.chat.ports import Logger
from app.chat.tracing import NoTracer, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"


@asynccontextmanager
async def opened(environment: Mapping[str, str], logger: Logger) -> AsyncIterator[Tracer]:
    """Yield the tracer. At the end of the block its last spans are sent, bounded in time."""
    if not is_wanted(environment):
        yield NoTracer()
        return
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), HTTP)
    if protocol != HTTP:
        logger.warning("tracing_protocol_ignored", protocol=protocol, used=HTTP)
    try:
        from app.telemetry import otel
    except ImportError as error:
        advice = "Install it with: pip install 'tailrace[otel]'"
        logger.warning("tracing_unavailable", missing=error.name, advice=advice)
        yield NoTracer()
        return
    async with otel.tracing(logger) as tracer:
        yield tracer


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether a collector is named, and tracing is not turned off."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not (off or none) and any(environment.get(name, "").strip() for name in ENDPOINTS)
