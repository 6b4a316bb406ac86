"""The audit of log lines."""

from __future__ import annotations

import io
import json

import pytest

from app.telemetry.audit import audit, parse
from app.telemetry.logging import configure
from tests.support.logs import restored_logging


def line(event: str, trace: str = "a", session: str = "s", **fields: object) -> str:
    """Return a line as the server writes it in logfmt."""
    more = "".join(f" {name}={value}" for name, value in fields.items())
    return f"2026-01-01T00:00:00.000000Z info {event} trace={trace} session={session}{more}"


GOOD = [
    line("stream_start", model="m"),
    line("stream_status", status="thinking"),
    line("stream_cancelled", reason="registry_new_stream"),
    line("stream_cancelled", "b", reason="registry_new_stream"),
    line("stream_cleanup"),
    line("stream_end", outcome="superseded"),
    line("prev_stream_finished_cleanly", waited_ms=3),
    line("stream_start", "b"),
    line("stream_start", "c", "other"),
    line("stream_end", "b"),
    line("stream_end", "c", "other"),
]


def test_a_good_log_has_no_violation() -> None:
    """Streams of one session one after the other, those of others in between."""
    report = audit(["Tailrace is serving on http://127.0.0.1:8080", *GOOD])
    assert report.violations == []
    assert (report.streams, report.sessions, report.events, report.lines) == (3, 2, 11, 12)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (
            [line("stream_start"), line("stream_start", "b"), line("stream_end"), line("stream_end", "b")],
            "two streams",
        ),
        ([line("stream_start")], "never ended"),
        ([line("stream_end")], "without a start"),
        ([line("stream_start"), line("stream_end"), line("stream_end")], "ended twice"),
        (
            [line("stream_start"), line("stream_end"), line("stream_start"), line("stream_end")],
            "started twice",
        ),
        ([line("stream_start"), line("stream_end"), line("stream_status")], "stream_status after the end"),
        ([*GOOD, line("prev_stream_timeout_on_cancel", waited_ms=8003)], "longer than the bound"),
    ],
)
def test_each_violation_is_found(lines: list[str], what: str) -> None:
    """One broken rule, one violation that names its line."""
    report = audit(lines)
    assert any(what in str(violation) for violation in report.violations), report
    assert all(1 <= violation.line <= len(lines) for violation in report.violations)


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_it_reads_what_the_server_writes(log_format: str) -> None:
    """Values with spaces, quotes and line ends come back as they were, in both formats."""
    stream = io.StringIO()
    hostile = 'a b="c"\nstream_end trace=x\\'
    with restored_logging():
        log = configure(log_format, "info", stream)
        log.info("stream_start", trace="t", session="s", model=hostile)
    assert stream.getvalue().count("\n") == 1
    fields = parse(stream.getvalue())
    assert fields is not None
    assert (fields["event"], fields["trace"], fields["model"]) == ("stream_start", "t", hostile)


def test_other_lines_are_passed_over() -> None:
    """JSON that is no log line, cut lines and prose are not ours."""
    others = ["", "{", json.dumps([1]), json.dumps({"a": 1}), "hello world", "2026 info half=", "\x00"]
    assert audit(others).events == 0


MIXED = [
    line("stream_start", "a", "alice/s", owner="alice"),
    line("stream_start", "b", "bob/s", owner="bob"),
    line("stream_start", "c", "s"),
    line("stream_start", "d", "alice/t"),
    line("stream_end", "a", "alice/s", owner="alice"),
    line("stream_end", "c", "s"),
    line("stream_end", "d", "alice/t"),
    "2026-01-01T00:00:00Z warning request_refused owner=alice address=198.51.100.1 code=too_many_streams",
    "2026-01-01T00:00:00Z warning request_refused owner= address=198.51.100.1 code=wrong_token",
    "2026-01-01T00:00:00Z warning refusals_left_out count=7",
]


@pytest.mark.parametrize(
    ("owner", "streams", "violations", "refusals"),
    [(None, 4, 1, 9), ("alice", 2, 0, 1), ("bob", 1, 1, 0), ("local", 1, 0, 0), ("nobody", 0, 0, 0)],
)
def test_one_owner_s_lines(owner: str | None, streams: int, violations: int, refusals: int) -> None:
    """Also those of versions that named the session alone; refused requests are counted."""
    report = audit(MIXED, owner=owner)
    assert (report.streams, len(report.violations), report.refusals) == (streams, violations, refusals)
    assert (f"{refusals} refused requests" in str(report)) is bool(refusals)


def test_json_lines_are_asked_by_owner_too() -> None:
    """As the server writes them."""
    with restored_logging():
        file = io.StringIO()
        log = configure("json", "info", file)
        for owner in ("alice", "bob"):
            log.info("stream_start", trace=owner, session=f"{owner}/s1")
            log.info("stream_end", trace=owner, session=f"{owner}/s1")
    assert audit(file.getvalue().splitlines(), owner="bob").streams == 1
