"""Checks from log lines, per session, that the invariants of the stream lifecycle held.

The logs of the nodes of a cluster are read together, in the order of their times. A stream whose node died or lost its
session has no end in its log: the node that took the session over says so. What the earlier node still logs about it is
about a run that nobody sees any more.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from app.chat.scoped_ids import owner_of
from app.printable import printable
from app.streams.bounds import Bounds

# `time level event key=value key="JSON string" …`, as written by `telemetry.logging`
_LOGFMT = re.compile(
    r"^(\S+) (?:debug|info|warning|error) (\w+)((?: \w+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"]*))*)$"
)
_FIELD = re.compile(r" (\w+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\"]*)")

WAITS = ("prev_stream_finished_cleanly", "prev_stream_timeout_on_cancel")
NOT_AFTER_THE_END = ("stream_status", "stream_token", "stream_cancelled", "stream_cleanup")
TAKEOVER = "session_taken_over"  # by the node that logs it
LOST = "stream_lost"  # its session belongs to another node
REFUSALS = ("request_refused", "refusals_left_out")
REDIS_LOST, REDIS_BACK = "redis_lost", "redis_back"
STARTED = "node_joined"  # what its process had before is gone
SLACK = 1.1  # factor on the bound: timers fire late on a busy machine, and figures are rounded


class Violation(msgspec.Struct, frozen=True):
    """A violated invariant. `line` is counted from 1, in `file` if there are several."""

    line: int
    session: str
    trace: str
    what: str
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}, line" if self.file else "line"
        text = f"{place} {self.line}: session={self.session} trace={self.trace}: {self.what}"
        return printable(text)


class Report(msgspec.Struct, kw_only=True):
    """The result of an audit."""

    lines: int = 0
    ours: int = 0  # lines that Tailrace wrote
    events: int = 0  # lines about streams
    sessions: int = 0
    streams: int = 0
    timeouts: int = 0  # streams that exceeded the bound while another waited
    refusals: int = 0  # refused requests; without an owner also those that the log only counts
    takeovers: int = 0  # sessions that a node took over from another
    violations: list[Violation] = []
    exceptions: list[Violation] = []  # looked like one, and the log has the reason

    def __str__(self) -> str:
        found = f"{len(self.violations)} violations" if self.violations else "no violations"
        refused = f", {self.refusals} refused requests" if self.refusals else ""
        if self.exceptions:
            found += f", {len(self.exceptions)} exceptions"
        if self.takeovers:
            found = f"{self.takeovers} takeovers, {found}"
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

    A wait over the bound is an exception if it was within the bound but for the time without Redis, where the `end` of
    the stream before had to be acknowledged. The log does not say which shard of a Redis Cluster has a session, so the
    loss of any shard counts.
    """
    return audit_nodes({"": lines}, bound=bound, owner=owner)


def audit_nodes(
    logs: Mapping[str, Iterable[str]], *, bound: float = Bounds().supersede_timeout, owner: str | None = None
) -> Report:
    """Check the logs of the nodes of a cluster, by their names, as one. Otherwise the same as `audit`.

    Each log is read in its order, all of them in the order of their times. The machines' clocks must agree to within
    less than what lies between two events of a session on different nodes.
    """
    auditor = _Auditor(bound)
    for _, file, number, fields in heapq.merge(*(_timed(file, lines) for file, lines in logs.items())):
        auditor.report.lines += 1
        if not fields:
            continue
        auditor.report.ours += 1
        if fields["event"] in (REDIS_LOST, REDIS_BACK, STARTED):  # concerns all owners
            auditor.connected(file, fields, is_lost=fields["event"] == REDIS_LOST)
        if owner is not None and _owner(fields) != owner:
            continue
        if fields["event"] == TAKEOVER:
            goes_on = fields.get("goes_on")
            auditor.taken_over(
                file, str(fields.get("session")), str(goes_on) if goes_on is not None else None
            )
        elif fields.get("trace") and fields.get("session"):
            auditor.see(Place(number, file), fields)
        elif fields["event"] in REFUSALS:
            auditor.report.refusals += int(_number(fields, "count", 1))
    return auditor.conclude()


def _timed(file: str, lines: Iterable[str]) -> Iterator[tuple[str, str, int, dict[str, Any] | None]]:
    """Yield what `parse` says of each line, with its time, or that of the one before where it has none."""
    time = ""
    for number, line in enumerate(lines, start=1):
        fields = parse(line)
        time = max(time, str((fields or {}).get("timestamp", "")))
        yield time, file, number, fields


class Place(NamedTuple):
    """Where a line is."""

    line: int
    file: str


def _owner(fields: dict[str, Any]) -> str | None:
    """Return whom a line is about. Lines of older versions name the session alone."""
    session = fields.get("session")
    return fields.get("owner") or (owner_of(str(session)) if session else None)


def parse(line: str) -> dict[str, Any] | None:
    """Return the fields of a log line, with the event name as `event`, or `None` if the line is not Tailrace's."""
    line = line.rstrip("\n")
    if line.startswith("{"):
        fields = _decoded(line)
        return fields if isinstance(fields, dict) and "event" in fields else None
    match = _LOGFMT.match(line)
    if match is None:
        return None
    fields = {"timestamp": match[1], "event": match[2], **dict(_pairs(match[3]))}
    return None if None in fields.values() else fields


def _decoded(text: str) -> Any:
    """Return a JSON value, or `None` if it cannot be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _pairs(text: str) -> Iterator[tuple[str, str | None]]:
    for name, value in _FIELD.findall(text):
        yield name, _decoded(value) if value.startswith('"') else value


def _number(fields: dict[str, Any], name: str, default: float) -> float:
    """Return a figure of a line, or `default` if it has none that can be read."""
    try:
        number = float(str(fields.get(name, default)))
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def _seconds(fields: dict[str, Any]) -> float | None:
    """Return the time of a line, or `None` if it has none that can be read."""
    try:
        return datetime.fromisoformat(str(fields.get("timestamp"))).timestamp()
    except ValueError:
        return None


class _Outages:
    """When one node was without Redis: intervals in seconds, in their order."""

    def __init__(self) -> None:
        self._over: list[tuple[float, float]] = []
        self._since: float | None = None

    def lost(self, now: float) -> None:
        """The connection broke. It may be one of several."""
        if self._since is None:
            self._since = now

    def back(self, now: float) -> None:
        """The connection is there again, or the node is a new one."""
        if self._since is not None:
            self._over.append((self._since, now))
            self._since = None

    def within(self, begin: float, end: float) -> float:
        """Return how many seconds of an interval they take. It ends now."""
        total = max(0.0, end - max(begin, self._since)) if self._since is not None else 0.0
        for since, until in reversed(self._over):
            if until <= begin:
                break
            total += min(until, end) - max(since, begin)
        return total


class _Auditor:
    """The state of an audit after the lines so far."""

    def __init__(self, bound: float) -> None:
        self.report = Report(violations=[], exceptions=[])
        self._most_ms = bound * 1000 * SLACK
        self._open: dict[str, str] = {}  # session id to the stream that has started and not ended
        self._started: dict[str, Place] = {}  # stream id to the line of its start
        self._sessions: dict[str, str] = {}  # stream id to session id
        self._files: dict[str, str] = {}  # stream id to the log of the node where it runs, or ran last
        self._ended: set[str] = set()
        self._going_on: set[str] = set()  # streams that another node took over and started again
        self._lost: set[tuple[str, str]] = set()  # logs and streams whose session another node took
        self._outages: dict[str, _Outages] = {}  # by log

    def taken_over(self, file: str, session: str, goes_on: str | None) -> None:
        """The node owns the session from now on: what ran in it has ended for everybody, or goes on there."""
        self.report.takeovers += 1
        if (trace := self._open.get(session)) is not None and trace != goes_on:
            del self._open[session]
            self._lost.add((self._files[trace], trace))
        if goes_on is not None:
            self._going_on.add(goes_on)
            self._files[goes_on] = file
            self._lost.discard((file, goes_on))

    def connected(self, file: str, fields: dict[str, Any], *, is_lost: bool) -> None:
        """A node has lost Redis, or has it again."""
        if (now := _seconds(fields)) is not None:
            outages = self._outages.setdefault(file, _Outages())
            (outages.lost if is_lost else outages.back)(now)

    def see(self, place: Place, fields: dict[str, Any]) -> None:
        """Check one event and update the state."""
        event, trace, session = str(fields["event"]), str(fields["trace"]), str(fields["session"])
        self.report.events += 1
        self._sessions[trace] = session
        for what in self._found(event, trace, session, place, fields):
            self.report.violations.append(Violation(place.line, session, trace, what, place.file))

    def _found(
        self, event: str, trace: str, session: str, place: Place, fields: dict[str, Any]
    ) -> Iterator[str]:
        if self._is_lost(place.file, trace):
            return  # its node has not noticed yet; nobody sees what it does
        if event == "stream_start":
            yield from self._start(trace, session, place)
        elif event == LOST:
            self._lose(place.file, trace, session)
        elif event == "stream_end":
            yield from self._end(trace, session)
        elif event in NOT_AFTER_THE_END and trace in self._ended:
            yield f"{event} after the end"
        elif event in WAITS:
            self.report.timeouts += event == "prev_stream_timeout_on_cancel"
            yield from self._wait(trace, session, place, fields)

    def _is_lost(self, file: str, trace: str) -> bool:
        """Whether a node has lost a stream, also one that goes on elsewhere."""
        return (file, trace) in self._lost or (trace in self._going_on and self._files[trace] != file)

    def _lose(self, file: str, trace: str, session: str) -> None:
        self._files[trace] = file
        self._lost.add((file, trace))
        if self._open.get(session) == trace:
            del self._open[session]

    def _wait(self, trace: str, session: str, place: Place, fields: dict[str, Any]) -> Iterator[str]:
        waited = _number(fields, "waited_ms", 0)
        if waited <= self._most_ms:
            return
        what = f"the next prompt waited {waited:.0f} ms, longer than the bound"
        outages, end = self._outages.get(place.file), _seconds(fields)
        away = 0.0
        if outages is not None and end is not None:
            away = 1000 * outages.within(end - waited / 1000, end)
        if waited - away > self._most_ms:
            yield what
            return
        why = f"{what}: {away:.0f} ms of that without Redis"
        self.report.exceptions.append(Violation(place.line, session, trace, why, place.file))

    def _start(self, trace: str, session: str, place: Place) -> Iterator[str]:
        # What its first owner has logged may not have come to the log of the session.
        if trace in self._started and trace not in self._going_on:
            yield "started twice"
        if (other := self._open.get(session)) is not None and other != trace:
            yield f"started before {other} had ended: two streams at once"
        self._started[trace] = place
        self._files[trace] = place.file
        self._open[session] = trace

    def _end(self, trace: str, session: str) -> Iterator[str]:
        if trace not in self._started and trace not in self._going_on:
            yield "ended without a start"
        if trace in self._ended:
            yield "ended twice"
        self._ended.add(trace)
        if self._open.get(session) == trace:
            del self._open[session]

    def conclude(self) -> Report:
        """Check for streams that never ended, and return the report."""
        for trace, (line, file) in self._started.items():
            if trace not in self._ended and not self._is_lost(self._files[trace], trace):
                violation = Violation(line, self._sessions[trace], trace, "never ended", file)
                self.report.violations.append(violation)
        self.report.streams = len(self._started)
        self.report.sessions = len({self._sessions[trace] for trace in self._started})
        for found in (self.report.violations, self.report.exceptions):
            found.sort(key=lambda each: (each.file, each.line))
        return self.report
