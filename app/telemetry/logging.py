"""Logging through structlog: one line per event on standard error, as logfmt, as JSON, or formatted for a terminal."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from app.chat.ports import Logger
from app.chat.scoped_ids import LOCAL, owner_of

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FIRST_KEYS = ("trace", "session", "owner")
_NEEDS_QUOTES = frozenset(' "=\\')
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without `_NEEDS_QUOTES`: nearly every value


def configure(log_format: str, log_level: str, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Set up logging for the process and return a logger.

    `log_format` is `logfmt`, `json` or `console`; `log_level` is one of `LEVELS`. Lines go to `stream`, by default
    standard error: standard output is for the output of commands. Records of standard library loggers (aiohttp,
    asyncio) go there too. Call it once, before any logger is used, because loggers are cached.
    """
    writer = LineWriter(stream or sys.stderr)
    structlog.configure(
        processors=[
            add_owner,
            structlog.processors.add_log_level,
            Clock().stamp,
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


def into(target: logging.Logger) -> Logger:
    """Return a logger for a part of somebody else's process: events go to `target`, as logfmt without time and level.

    Nothing is set up: which lines are shown, how, and where is the business of that process.
    """
    log: Any = structlog.wrap_logger(
        target,
        processors=[
            structlog.stdlib.filter_by_level,
            add_owner,
            structlog.processors.format_exc_info,
            render_fields,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    logger: Logger = log
    return logger


def _rendering(log_format: str, *, colors: bool) -> list[Processor]:
    """Return the processors that turn an event into a line."""
    if log_format == "console":
        # With `rich` installed, structlog would print the local variables of each frame: keys, prompts.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, repr_native_str=True, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, render_json if log_format == "json" else render_logfmt]


class Clock:
    """Adds the time to events: RFC 3339, UTC, with microseconds. The text of a second is made once in that second."""

    def __init__(self) -> None:
        self._second = (-1, "")  # replaced as a whole: threads log, too

    def __repr__(self) -> str:
        return f"<Clock {self._second[1]}>"

    def stamp(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """See structlog's processors."""
        now, fraction = divmod(time.time_ns() // 1000, 1_000_000)
        second, text = self._second
        if now != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            self._second = (now, text)
        event["timestamp"] = f"{text}.{fraction:06}Z"
        return event


def add_owner(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the owner to an event about a session: it is part of the session's id.

    A server with one owner does not name it in every line.
    """
    session = event.get("session")
    if session is not None and (owner := owner_of(str(session))) != LOCAL:
        event.setdefault("owner", owner)
    return event


def render_logfmt(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return `time level event trace=… session=… owner=… …`. The event name has no key, so that it is easy to `grep`.

    structlog's own logfmt renderer escapes only quotes and newlines. This one writes any value that could end a line
    or control a terminal as a JSON string: user text cannot forge a line, and every value can be parsed back.
    """
    head = f"{event.pop('timestamp')} {event.pop('level')}"
    return f"{head} {_fields(event)}"


def render_fields(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return the event as `render_logfmt` does, without time and level."""
    return _fields(event)


def _fields(event: EventDict) -> str:
    words = [_value(event.pop("event"))]
    words += [f"{key}={_value(event.pop(key))}" for key in FIRST_KEYS if key in event]
    words += [f"{key}={_value(value)}" for key, value in event.items()]
    return " ".join(words)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    printable = text.isprintable()
    if text and printable and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=not printable)


def render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return the event as one line of JSON, with keys in the order of logfmt. Values of other types become strings."""
    order = {key: event.pop(key) for key in ("timestamp", "level", "event", *FIRST_KEYS) if key in event}
    return json.dumps({**order, **event}, default=str)


class LineWriter:
    """Writes rendered lines, and ignores write errors: a full disk must not fail a stream.

    `lost` counts the lines that could not be written; `/metrics` exports it.
    """

    lost = 0  # of all writers in this process

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __repr__(self) -> str:
        return f"<LineWriter lost={self.lost}>"

    def is_terminal(self) -> bool:
        """Return whether lines go to a terminal."""
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
    """Forwards records of standard library loggers to structlog, as the event `log`."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`. The message becomes a value, so that it cannot pass for one of our events."""
        # structlog supports no other levels.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the caller's arguments do not match its format
            message = str(record.msg)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(level, "log", logger=record.name, message=message, **fields)
