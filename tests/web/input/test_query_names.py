"""A query parameter that an address does not have is told, with the one that was meant."""

from __future__ import annotations

import pytest

from tests.web.stage import Stage


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "/api/sessions/s1/events?curser=1-1",
            "There is no query parameter 'curser'. Did you mean cursor? This address takes after, cursor, render.",
        ),
        (
            "/api/sessions?offset=10",
            "There is no query parameter 'offset'. This address takes q, after, limit.",
        ),
        ("/api/models?limit=2&Q=x", "There is no query parameter 'Q'. This address takes q, limit."),
        ("/api/openapi.json?v=1", "There is no query parameter 'v'. This address takes none."),
        (f"/api/sessions?{'x' * 500}=1", f"There is no query parameter '{'x' * 64}'."),
    ],
)
async def test_an_unknown_parameter_is_told(stage: Stage, path: str, sentence: str) -> None:
    """With 422, before anything is done."""
    answer = await stage.client.get(path)
    assert (answer["http"], answer["code"]) == (422, "unknown_parameter")
    assert answer["detail"].startswith(sentence)


async def test_a_stop_with_a_misspelt_wait_stops_nothing(stage: Stage) -> None:
    """The answer goes on."""
    registered = await stage.client.post("s1", "hello")
    await stage.opened()
    refused = await stage.client.delete(f"/api/streams/{registered['stream_id']}?wiat=1")
    assert refused["http"] == 422
    assert stage.registry.is_live("s1", registered["stream_id"])
    assert (await stage.client.delete(f"/api/streams/{registered['stream_id']}?wait=1"))[
        "outcome"
    ] == "stopped"
