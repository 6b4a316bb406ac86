"""`Accept` is negotiated by its weights, without regard to case (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from app.web.http import accept
from app.web.http.accept import EVENTS, HTML, JSON, LINES, PROBLEM
from tests.support.server import serve
from tests.web.stage import Stage, problem

STREAMS = "/api/sessions/s1/streams"


def best(header: str) -> str | None:
    """Return what a POST of a prompt is answered with."""
    return accept.best(make_mocked_request("POST", "/", headers={"Accept": header}), (EVENTS, LINES))


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("*", JSON),
        ("application/*", JSON),
        ("text/*", EVENTS),
        ("Text/Event-Stream", EVENTS),
        ("text/event-stream; charset=UTF-8", EVENTS),
        ("APPLICATION/X-NDJSON, */*;q=0.1", LINES),
        ("application/json, text/event-stream", EVENTS),
        ("application/json, text/event-stream;q=0.9", JSON),
        ("application/json;q=0.2, text/event-stream;q=.9", EVENTS),
        ("text/event-stream;q=0", JSON),
        ("text/event-stream;q=0.000, */*", JSON),
        ("text/event-stream;Q=0, application/x-ndjson", LINES),
        ("text/event-stream, */*", EVENTS),
        ("text/*;q=0.5, application/x-ndjson;q=0.4", EVENTS),
        ("application/json;q=0, */*", EVENTS),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("image/png", JSON),
        ("text/event-stream-of-something", JSON),
        ("x/text/event-stream", JSON),
        ('a/b;c="text/event-stream, text/event-stream", application/json', JSON),
        ("text/event-stream;q=much", JSON),
        ("text/event-stream;q=7", EVENTS),
        ("text/event-stream;level=1;q=0, text/event-stream", EVENTS),
    ],
)
def test_the_stream_or_json(header: str, answer: str | None) -> None:
    """What is named wins over what is covered by a wildcard; a weight of 0 is a refusal."""
    assert best(header) == answer


def test_the_example_of_the_standard() -> None:
    """RFC 9110, section 12.5.1."""
    header = (
        "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"
    )
    wanted = list(accept.members(header))
    weights = {
        each: cast("accept.Rank", accept.rank(wanted, each)).weight
        for each in ("text/plain", "text/html", "image/jpeg")
    }
    assert weights == {"text/plain": 0.7, "text/html": 0.3, "image/jpeg": 0.5}


@given(st.text(alphabet=' \t,;="\\/*.q0159textjson+-') | st.text())
def test_no_header_raises(header: str) -> None:
    """Weights are from 0 to 1, whatever is sent."""
    for member in accept.members(header):
        assert 0 <= member.weight <= 1


@pytest.mark.parametrize(
    ("header", "is_page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("TEXT/HTML", True),
        ("text/*", True),
        ("text/html, */*", True),
        ("*/*", False),
        ("", False),
        ("text/html;q=0", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0.5, application/problem+json;q=0.9", False),
        ("application/json, text/plain, */*", False),
        ("text/html-fragment", False),
    ],
)
async def test_a_problem_is_a_page_for_who_wants_one(stage: Stage, header: str, is_page: bool) -> None:
    """Else it is problem+json, also for a program that would take a page as well."""
    async with stage.http.get("/nothing", headers={"Accept": header}) as response:
        assert response.status == 404
        assert response.content_type == (HTML if is_page else PROBLEM)


async def test_a_post_answers_in_the_type_that_was_asked_for(stage: Stage) -> None:
    """Over a real socket, also with several headers."""
    headers = CIMultiDict([("Accept", "application/json;q=0.5"), ("Accept", "Text/Event-Stream")])
    async with stage.http.post(STREAMS, json={"prompt": "x"}, headers=headers) as response:
        assert (response.status, response.content_type) == (201, EVENTS)


async def test_a_post_that_refuses_everything_registers_nothing(stage: Stage) -> None:
    """406, with what there is."""
    async with stage.http.post(STREAMS, json={"prompt": "x"}, headers={"Accept": "*/*;q=0"}) as response:
        assert EVENTS in (await problem(response, 406, "not_acceptable"))["detail"]
    assert stage.puppet.generations == []


@pytest.mark.parametrize(
    ("header", "is_compressed"),
    [
        ("gzip", True),
        ("GZIP;q=1", True),
        ("br, *", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("x-gzipped", False),
    ],
)
async def test_files_are_compressed_for_who_takes_it(
    tmp_path: Path, header: str, is_compressed: bool
) -> None:
    """`gzip;q=0` is a refusal."""
    async with serve(tmp_path) as live:
        headers: dict[str, Any] = {"Accept-Encoding": header}
        async with live.client.http.get("/static/style.css", headers=headers) as response:
            assert ("Content-Encoding" in response.headers) is is_compressed
