"""Logging through structlog: one line an event, as logfmt, JSON or for a terminal, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FIRST_KEYS = ("trace", "session")
_NEEDS_QUOTES = frozenset(' "=\\')


def configure(log_format: str, log_level: str, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Set up logging for the process and return a logger.

    `log_format` is `logfmt`, `json` or `console`; `log_level` is one of `LEVELS`. Lines go to `stream`, or to
    standard error: standard output is for what a command prints. What the loggers of the standard library write
    (those of aiohttp and asyncio) goes the same way. Call it once, before loggers are used: they are cached.
    """
    writer = LineWriter(stream or sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_rendering(log_format, colors=writer.is_terminal()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[log_level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[ToStructlog()], level=max(LEVELS[log_level], logging.INFO), force=True)
    logging.captureWarnings(True)
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def _rendering(log_format: str, *, colors: bool) -> list[Processor]:
    """Return the last processors: those that turn an event into a line."""
    if log_format == "console":
        return [structlog.dev.ConsoleRenderer(colors=colors, repr_native_str=True)]
    return [structlog.processors.format_exc_info, render_json if log_format == "json" else render_logfmt]


def render_logfmt(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return `time level event trace=… session=… …`: the event's name comes bare, so that `grep` finds it.

    structlog's own logfmt renderer escapes quotes and newlines only. Here whatever could end a line or act on
    a terminal is written as a JSON string: no user text can forge a line, and every value can be read back.
    """
    head = f"{event.pop('timestamp')} {event.pop('level')} {_value(event.pop('event'))}"
    first = [(key, event.pop(key)) for key in FIRST_KEYS if key in event]
    return " ".join([head, *(f"{key}={_value(value)}" for key, value in (*first, *event.items()))])


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    printable = text.isprintable()
    if text and printable and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=not printable)


def render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return the event as one line of JSON, in the order of logfmt; values without a JSON type as text."""
    order = {key: event.pop(key) for key in ("timestamp", "level", "event", *FIRST_KEYS) if key in event}
    return json.dumps({**order, **event}, default=str)


class LineWriter:
    """Writes finished lines, and survives a log that cannot be written: a full disk must not end a stream.

    `lost` counts the lines that went nowhere; `/metrics` shows it.
    """

    lost = 0  # in this process, over all writers

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __repr__(self) -> str:
        return f"<LineWriter lost={self.lost}>"

    def is_terminal(self) -> bool:
        """Tell whether a person watches."""
        return self._stream.isatty()

    def line(self, text: str) -> None:
        """Write one line and flush it, so that an operator who follows the log sees it at once."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # full disk, broken pipe, closed file
            LineWriter.lost += 1

    debug = info = warning = error = critical = exception = line


class ToStructlog(logging.Handler):
    """Passes what the standard library's loggers say on to structlog, as the event `log`."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`. The message becomes a value: its words cannot pass for an event of ours."""
        # structlog knows no others.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the caller's arguments do not fit its format
            message = str(record.msg)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(level, "log", logger=record.name, message=message, **fields)
