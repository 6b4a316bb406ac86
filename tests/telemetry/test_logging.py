"""Log lines: three formats, the lifecycle's vocabulary, and lines that nobody can forge."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import FilteringBoundLogger

from app.telemetry.logging import Clock, LineWriter, configure, render_logfmt
from tests.support.logs import restored_logging

NASTY = 'a "b" =c\\ \n2026-01-01T00:00:00Z info stream_end trace=x\r\x1b[31m\u2028\x85\x00'


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was for the tests that follow."""
    with restored_logging():
        yield


@pytest.fixture
def log_file() -> io.StringIO:
    """Return what stands for standard error."""
    return io.StringIO()


@pytest.fixture
def log(log_file: io.StringIO) -> FilteringBoundLogger:
    """Return a logger in the default format and level."""
    return configure("logfmt", "info", log_file)


def test_a_logfmt_line_has_time_level_and_the_bare_event(
    log: FilteringBoundLogger, log_file: io.StringIO
) -> None:
    """`time level event`, then trace and session, then the rest in the order given."""
    log.info("stream_start", model="ollama/llama3.2:1b", session="sess-abc", trace="abc123")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z info stream_start"
        r" trace=abc123 session=sess-abc model=ollama/llama3\.2:1b\n",
        log_file.getvalue(),
    )


def test_a_line_about_a_session_has_its_owner(log: FilteringBoundLogger, log_file: io.StringIO) -> None:
    """Which is part of the session's id; also with fields that were bound before. Other lines have none."""
    log.bind(session="alice/s1").info("answer_taken_up", trace="a")
    log.info("history_available", changes=1)
    log.info("request_refused", owner=None, address="198.51.100.1")
    first, second, third = log_file.getvalue().splitlines()
    assert first.endswith(" answer_taken_up trace=a session=alice/s1 owner=alice")
    assert "owner" not in second
    assert third.endswith(" request_refused owner= address=198.51.100.1")


def test_the_grep_recipes_work(log: FilteringBoundLogger, log_file: io.StringIO, tmp_path: Path) -> None:
    """The three questions of the operator's guide are answered by `grep` on a log file."""
    for trace, session in (("a", "sess-abc"), ("b", "sess-abc"), ("c", "sess-xyz")):
        log.info("stream_start", trace=trace, session=session, model="m")
        log.info("prev_stream_finished_cleanly", trace=trace, session=session, waited_ms=3)
        log.info("stream_end", trace=trace, session=session, outcome="complete", duration_ms=450, tokens=42)
    path = tmp_path / "system.log"
    path.write_text(log_file.getvalue(), encoding="utf-8")

    def lines(recipe: str) -> int:
        return len(
            subprocess.run(
                ["sh", "-c", recipe], cwd=tmp_path, capture_output=True, check=True
            ).stdout.splitlines()
        )

    assert lines('grep "stream_start" system.log | grep "session=sess-abc"') == 2
    assert lines(r'grep "prev_stream_finished_cleanly\|prev_stream_timeout_on_cancel" system.log') == 3
    assert lines('grep "stream_end" system.log') == 3


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
def test_user_text_cannot_forge_a_line(log_format: str, log_file: io.StringIO) -> None:
    """However wild a value is, one event is one line without control characters."""
    configure(log_format, "debug", log_file).debug("stream_token", text=NASTY, trace=NASTY)
    text = log_file.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    assert len(text.splitlines()) == 1


@given(st.text())
def test_every_logfmt_value_can_be_read_back(text: str) -> None:
    """A value is bare, or a JSON string: nothing is lost in a log."""
    line = render_logfmt(None, "", {"timestamp": "t", "level": "info", "event": "e", "text": text})
    written = line.removeprefix("t info e text=")
    assert (json.loads(written) if written.startswith('"') else written) == text
    assert line.isprintable()


@pytest.mark.parametrize(
    ("value", "written"), [(None, ""), (True, "true"), (1.5, "1.5"), ("", '""'), ("a b", '"a b"')]
)
def test_logfmt_values(value: object, written: str) -> None:
    """Nothing, yes and no, numbers and text each have one form."""
    line = render_logfmt(None, "", {"timestamp": "t", "level": "info", "event": "e", "key": value})
    assert line == f"t info e key={written}"


@given(st.integers(0, 4_000_000_000), st.lists(st.integers(0, 2_999_999), min_size=1))
def test_the_time_of_a_line_is_exact(second: int, microseconds: list[int]) -> None:
    """To the microsecond, in UTC, whatever the lines before it said."""
    clock = Clock()
    for number in microseconds:
        with mock.patch("time.time_ns", return_value=(second * 1_000_000 + number) * 1000 + 999):
            stamp = clock.stamp(None, "", {})["timestamp"]
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second, microseconds=number)
        assert stamp == f"{when:%Y-%m-%dT%H:%M:%S.%f}Z"


def test_json_has_the_same_fields(log_file: io.StringIO) -> None:
    """One JSON object a line, in the order of the logfmt line."""
    configure("json", "info", log_file).info("stream_end", tokens=3, path=Path("/x"), session="s", trace="t")
    event = json.loads(log_file.getvalue())
    assert list(event) == ["timestamp", "level", "event", "trace", "session", "tokens", "path"]
    assert (event["tokens"], event["path"]) == (3, "/x")


def test_the_level_is_a_lower_bound(log: FilteringBoundLogger, log_file: io.StringIO) -> None:
    """At level info nothing of level debug is written."""
    log.debug("stream_token", text="secret")
    assert log_file.getvalue() == ""


def test_a_traceback_stays_on_its_line(log: FilteringBoundLogger, log_file: io.StringIO) -> None:
    """An exception is a field of its event, so that line counts stay true."""
    try:
        raise ValueError("broken\nhere")
    except ValueError:
        log.exception("request_failed")
    [line] = log_file.getvalue().splitlines()
    assert "request_failed exception=" in line
    assert "Traceback" in line


@pytest.mark.parametrize("level", [logging.INFO, 25, logging.CRITICAL, 99])
def test_the_libraries_log_the_same_way(log_file: io.StringIO, level: int) -> None:
    """A line of the standard library's logging is the event `log`; its words are a value."""
    configure("logfmt", "info", log_file)
    logging.getLogger("aiohttp.server").log(level, "stream_start %s", "trace=x")
    [line] = log_file.getvalue().splitlines()
    assert line.endswith(' log logger=aiohttp.server message="stream_start trace=x"')


def test_a_broken_call_of_a_library_still_leaves_its_line(log_file: io.StringIO) -> None:
    """Arguments that do not fit the format cost the arguments, not the message."""
    configure("logfmt", "info", log_file)
    logging.getLogger("asyncio").error("%d tasks", "many")
    assert 'message="%d tasks"' in log_file.getvalue()


def test_debug_does_not_open_the_libraries(log_file: io.StringIO) -> None:
    """`debug` is about streams; asyncio's and aiohttp's own details stay out."""
    configure("logfmt", "debug", log_file)
    logging.getLogger("asyncio").debug("Using selector")
    assert log_file.getvalue() == ""


class FullDisk(io.StringIO):
    """A file that cannot be written any more."""

    def write(self, text: str) -> int:
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    """On a full disk a line is lost and counted, and the caller goes on."""
    before = LineWriter.lost
    configure("logfmt", "info", FullDisk()).info("stream_end", trace="a")
    assert LineWriter.lost == before + 1
