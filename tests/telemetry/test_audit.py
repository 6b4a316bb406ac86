"""The audit of log lines."""

from __future__ import annotations

import io
import json

import pytest

from app.telemetry.audit import audit, audit_nodes, parse
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


@pytest.mark.parametrize(
    "odd",
    [
        '{"event": ' + "[" * 100_000,
        line("stream_start", session='"s\\q"'),
        line("request_refused", count="x"),
        line("refusals_left_out", trace="", count="x"),
        line("prev_stream_finished_cleanly", waited_ms="x"),
        line("prev_stream_finished_cleanly", waited_ms="nan"),
        json.dumps({"event": "refusals_left_out", "count": []}),
        json.dumps({"event": "session_taken_over", "session": "s", "goes_on": []}),
        json.dumps({"event": ["stream_start"], "trace": [], "session": {"s": 1}}),
        json.dumps({"event": "redis_lost", "timestamp": "0001-01-01T00:00:00+23:59"}),
        json.dumps({"event": "redis_lost", "timestamp": ["x"]}),
    ],
    ids=lambda odd: odd[:60],
)
def test_odd_lines_are_skipped(odd: str) -> None:
    """What cannot be read is no reason to end, nor a violation; the rest is judged."""
    report = audit([odd, *GOOD])
    assert report.violations == []
    assert report.streams == 3


def test_what_a_terminal_obeys_is_escaped() -> None:
    """A violation quotes the log."""
    [found] = audit(
        [json.dumps({"event": "stream_start", "trace": "\x1b[31m", "session": "\ud800"})]
    ).violations
    assert str(found) == "line 1: session=\\ud800 trace=\\x1b[31m: never ended"


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


def at(second: int, text: str) -> str:
    """Return a line with another time."""
    return text.replace("00:00:00", f"00:00:{second:02}")


TAKEN = "2026-01-01T00:00:00.000000Z warning session_taken_over session=s epoch=2 interrupted=1 forced=true"
DEAD = [at(1, line("stream_start")), at(2, line("stream_status", status="thinking"))]
HEIR = [at(5, TAKEN), at(6, line("stream_start", "b")), at(7, line("stream_end", "b"))]


def test_the_logs_of_nodes_are_read_as_one() -> None:
    """An answer whose node died ended with the takeover, in the other log."""
    report = audit_nodes({"b.log": HEIR, "a.log": DEAD})
    assert report.violations == []
    assert (report.streams, report.takeovers, report.lines) == (2, 1, 5)
    assert "1 takeovers" in str(report)


def test_without_the_other_log_the_answer_never_ended() -> None:
    """And the finding names its file."""
    [violation] = audit_nodes({"a.log": DEAD, "c.log": []}).violations
    assert str(violation) == "a.log, line 1: session=s trace=a: never ended"


def test_two_nodes_that_answer_at_once_are_found() -> None:
    """The order is that of the times, not that of the files."""
    [violation] = audit_nodes({"b.log": HEIR[1:], "a.log": [*DEAD, at(9, line("stream_end"))]}).violations
    assert (violation.file, violation.trace) == ("b.log", "b")
    assert "two streams at once" in violation.what


@pytest.mark.parametrize("begins", [0, 1])
def test_an_answer_that_goes_on_at_another_node(begins: int) -> None:
    """It ends there. Its `start` may have been lost with its node, and then there is another one."""
    taken = at(5, TAKEN.replace("interrupted=1", "interrupted=0") + " goes_on=a")
    heir = [taken, at(6, line("stream_start")), at(7, line("stream_end"))]
    report = audit_nodes({"b.log": [heir[0], *heir[2 - begins :]], "a.log": DEAD})
    assert report.violations == []
    assert (report.streams, report.takeovers) == (1, 1)
    [violation] = audit_nodes({"b.log": heir[: 1 + begins], "a.log": DEAD}).violations
    assert violation.what == "never ended"


def test_a_node_that_notices_late_is_no_violation() -> None:
    """Redis and PostgreSQL refuse what it still does."""
    late = [
        at(8, line("stream_status", status="streaming")),
        at(9, line("stream_lost", upstream_closed="true")),
    ]
    assert audit_nodes({"a.log": [*DEAD, *late], "b.log": HEIR}).violations == []


GOES_ON = at(5, TAKEN.replace("interrupted=1", "interrupted=0") + " goes_on=a")


@pytest.mark.parametrize("ends", [7, 11])
def test_a_node_that_notices_late_that_its_answer_goes_on_elsewhere(ends: int) -> None:
    """What it still logs about the answer is not about the one that everybody sees, before and after its end."""
    late = [
        at(8, line("stream_cancelled", reason="shutdown")),
        at(9, line("stream_cleanup")),
        at(10, line("stream_lost", upstream_closed="true")),
    ]
    heir = [GOES_ON, at(6, line("stream_status", status="streaming")), at(ends, line("stream_end"))]
    assert audit_nodes({"a.log": [*DEAD, *late], "b.log": heir}).violations == []
    [violation] = audit_nodes({"a.log": [*DEAD, *late], "b.log": heir[:2]}).violations
    assert violation.what == "never ended"


def test_an_answer_that_went_on_elsewhere_may_be_lost_there_too() -> None:
    """It is started again once; the next owner ends it, or the same node as before."""
    heir = [GOES_ON, at(8, line("stream_lost", upstream_closed="true"))]
    assert audit_nodes({"a.log": DEAD, "b.log": heir}).violations == []
    assert audit_nodes({"a.log": [*DEAD, at(7, TAKEN)], "b.log": heir[:1]}).violations == []


def test_an_answer_may_go_on_at_the_same_node() -> None:
    """It was killed, came back, and is watched again."""
    assert audit_nodes({"a.log": [*DEAD, GOES_ON, at(6, line("stream_end"))]}).violations == []
    again = [GOES_ON, at(6, line("stream_end")), at(7, line("stream_status", status="streaming"))]
    [violation] = audit_nodes({"a.log": [*DEAD, *again]}).violations
    assert violation.what == "stream_status after the end"


def waited(milliseconds: int) -> str:
    """Return the line of a prompt's wait that ended after 20 s."""
    return at(20, line("prev_stream_finished_cleanly", waited_ms=milliseconds))


def said(second: int, event: str) -> str:
    """Return a line without a session."""
    return at(second, f"2026-01-01T00:00:00.000000Z warning {event}")


LOST, BACK = "redis_lost address=127.0.0.1:6379", "redis_back address=127.0.0.1:6379"


@pytest.mark.parametrize(
    ("others", "is_exception"),
    [
        ([said(14, LOST), said(19, BACK)], True),
        ([said(10, LOST), said(16, BACK), said(17, LOST), said(19, BACK)], True),
        ([said(14, LOST)], True),
        ([said(14, LOST), said(15, LOST), said(19, BACK)], True),
        ([said(14, LOST), said(17, BACK)], False),
        ([said(10, LOST), said(14, BACK)], False),
        ([said(14, LOST), said(14, "node_joined")], False),
        ([said(19, BACK)], False),
        (
            [LOST.replace("redis_lost", "2026 warning redis_lost"), said(14, LOST.replace("lost", "gone"))],
            False,
        ),
    ],
    ids=["away", "twice", "still", "two links", "too short", "before", "earlier life", "never", "no time"],
)
def test_a_wait_without_redis_is_an_exception(others: list[str], is_exception: bool) -> None:
    """The end of the stream before had to be acknowledged first. The rest of the wait is within the bound."""
    for owner in (None, "local"):
        report = audit([*others, waited(6000)], bound=2, owner=owner)
        assert [len(report.exceptions), len(report.violations)] == [is_exception, not is_exception]
    report = audit_nodes({"a.log": others, "b.log": [waited(6000)]}, bound=2)
    assert report.violations, "another node's connection is no reason"


def test_an_exception_says_its_reason() -> None:
    """And does not count as a violation."""
    report = audit([said(14, LOST), said(19, BACK), waited(6000)], bound=2)
    [exception] = report.exceptions
    assert (
        exception.what
        == "the next prompt waited 6000 ms, longer than the bound: 5000 ms of that without Redis"
    )
    assert "no violations, 1 exceptions" in str(report)


def test_a_lost_answer_has_ended_without_a_takeover() -> None:
    """Its node gave its sessions up, and nobody else wanted this one."""
    assert audit([*DEAD, at(3, line("stream_lost", upstream_closed="true"))]).violations == []
