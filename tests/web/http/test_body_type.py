"""The media type of a body, and that no header about it takes long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from app.web.http.body_type import body_type
from tests.web.stage import Stage

LONGEST = 7_800  # characters: aiohttp refuses longer headers
APP = Path(__file__).parents[3] / "app"


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" multipart/form-data ;boundary=x", "multipart/form-data"),
        ("", ""),
    ],
)
def test_it_has_no_parameters(header: str, media_type: str) -> None:
    """Nor capitals, nor white space around it."""
    assert body_type(make_mocked_request("POST", "/", headers={"Content-Type": header})) == media_type


@pytest.mark.parametrize("piece", ['"', ";", "a/b;", "=", "\\"])
async def test_no_header_takes_long(stage: Stage, piece: str) -> None:
    """A long one costs less than ten times as much as a short one: the parser of the library takes a second."""

    async def cost(header: str) -> float:
        """Return the processor time of the fastest of five requests, in seconds."""
        times = []
        for _ in range(5):
            began = time.process_time()
            async with stage.http.post(
                "/api/sessions/s1/streams", data=b"{}", headers={"Content-Type": header}
            ) as got:
                assert got.status in (400, 413, 415, 422), await got.text()
            times.append(time.process_time() - began)
        return min(times)

    short = await cost("text/plain")
    assert await cost((piece * LONGEST)[:LONGEST]) < 10 * short


def test_nothing_asks_the_library() -> None:
    """Its `content_type` and `forwarded` take time with the square of a header's length."""
    for path in APP.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "request.content_type" not in text, path
        assert "request.forwarded" not in text, path
