"""Checks from log lines, per session, that the invariants of the stream lifecycle held."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from app.chat.scoped_ids import owner_of
from app.streams.bounds import Bounds

# `time level event key=value key="JSON string" …`, as written by `telemetry.logging`
_LOGFMT = re.compile(r"^\S+ (?:debug|info|warning|error) (\w+)((?: \w+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"]*))*)$")
_FIELD = re.compile(r" (\w+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\"]*)")

WAITS = ("prev_stream_finished_cleanly", "prev_stream_timeout_on_cancel")
NOT_AFTER_THE_END = ("stream_status", "stream_token", "stream_cancelled", "stream_cleanup")
REFUSALS = ("request_refused", "refusals_left_out")
SLACK = 1.1  # factor on the bound: timers fire late on a busy machine, and figures are rounded


class Violation(msgspec.Struct, frozen=True):
    """A violated invariant. `line` is counted from 1."""

    line: int
    session: str
    trace: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: session={self.session} trace={self.trace}: {self.what}"


class Report(msgspec.Struct, kw_only=True):
    """The result of an audit."""

    lines: int = 0
    events: int = 0  # lines about streams
    sessions: int = 0
    streams: int = 0
    timeouts: int = 0  # streams that exceeded the bound while another waited
    refusals: int = 0  # refused requests; without an owner also those that the log only counts
    violations: list[Violation] = []

    def __str__(self) -> str:
        found = f"{len(self.violations)} violations" if self.violations else "no violations"
        refused = f", {self.refusals} refused requests" if self.refusals else ""
        return (
            f"{self.streams} streams in {self.sessions} sessions, {self.timeouts} exceeded the bound, {found}"
            f"{refused} ({self.events} events in {self.lines} lines)"
        )


def audit(
    lines: Iterable[str], *, bound: float = Bounds().supersede_timeout, owner: str | None = None
) -> Report:
    """Check log lines, logfmt or JSON, in the order in which they were written. `bound` is in seconds.

    With `owner`, only the lines about this owner are read. Lines that are not about a stream are skipped, but refused
    requests are counted. A stream without an end is reported: its server was killed, or is
    still running. Audit a log after its server has stopped.
    """
    auditor = _Auditor(bound)
    for number, line in enumerate(lines, start=1):
        auditor.report.lines = number
        fields = parse(line)
        if not fields or (owner is not None and _owner(fields) != owner):
            continue
        if fields.get("trace") and fields.get("session"):
            auditor.see(number, fields)
        elif fields["event"] in REFUSALS:
            auditor.report.refusals += int(fields.get("count", 1))
    return auditor.conclude()


def _owner(fields: dict[str, Any]) -> str | None:
    """Return whom a line is about. Lines of older versions name the session alone."""
    session = fields.get("session")
    return fields.get("owner") or (owner_of(str(session)) if session else None)


def parse(line: str) -> dict[str, Any] | None:
    """Return the fields of a log line, with the event name as `event`, or `None` if the line is not Tailrace's."""
    line = line.rstrip("\n")
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return None
        return fields if isinstance(fields, dict) and "event" in fields else None
    match = _LOGFMT.match(line)
    return {"event": match[1], **dict(_pairs(match[2]))} if match else None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _FIELD.findall(text):
        yield name, json.loads(value) if value.startswith('"') else value


class _Auditor:
    """The state of an audit after the lines so far."""

    def __init__(self, bound: float) -> None:
        self.report = Report(violations=[])
        self._most_ms = bound * 1000 * SLACK
        self._open: dict[str, str] = {}  # session id to the stream that has started and not ended
        self._started: dict[str, int] = {}  # stream id to the line of its start
        self._sessions: dict[str, str] = {}  # stream id to session id
        self._ended: set[str] = set()

    def see(self, line: int, fields: dict[str, Any]) -> None:
        """Check one event and update the state."""
        event, trace, session = str(fields["event"]), str(fields["trace"]), str(fields["session"])
        self.report.events += 1
        self._sessions[trace] = session
        for what in self._found(event, trace, session, line, fields):
            self.report.violations.append(Violation(line, session, trace, what))

    def _found(
        self, event: str, trace: str, session: str, line: int, fields: dict[str, Any]
    ) -> Iterator[str]:
        if event == "stream_start":
            yield from self._start(trace, session, line)
        elif event == "stream_end":
            yield from self._end(trace, session)
        elif event in NOT_AFTER_THE_END and trace in self._ended:
            yield f"{event} after the end"
        elif event in WAITS:
            self.report.timeouts += event == "prev_stream_timeout_on_cancel"
            if (waited := float(fields.get("waited_ms", 0))) > self._most_ms:
                yield f"the next prompt waited {waited:.0f} ms, longer than the bound"

    def _start(self, trace: str, session: str, line: int) -> Iterator[str]:
        if trace in self._started:
            yield "started twice"
        if (other := self._open.get(session)) is not None:
            yield f"started before {other} had ended: two streams at once"
        self._started[trace] = line
        self._open[session] = trace

    def _end(self, trace: str, session: str) -> Iterator[str]:
        if trace not in self._started:
            yield "ended without a start"
        if trace in self._ended:
            yield "ended twice"
        self._ended.add(trace)
        if self._open.get(session) == trace:
            del self._open[session]

    def conclude(self) -> Report:
        """Check for streams that never ended, and return the report."""
        for trace, line in self._started.items():
            if trace not in self._ended:
                self.report.violations.append(Violation(line, self._sessions[trace], trace, "never ended"))
        self.report.streams = len(self._started)
        self.report.sessions = len({self._sessions[trace] for trace in self._started})
        self.report.violations.sort(key=lambda violation: violation.line)
        return self.report
