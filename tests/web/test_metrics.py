"""The metrics of a running server: what prompts, stops, errors and slow viewers leave in `/metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.chat.errors import UpstreamTruncated
from tests.doubles.openai import OpenAIDouble
from tests.faults.test_slow_viewers import flooding, slow_viewer
from tests.support.client import Client
from tests.support.server import serve
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, take

PUPPET = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "puppet",
    "gen_ai_request_model": "puppet",
}


class Scrape:
    """One reading of `/metrics`."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self._samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and, among others, these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of all samples with this name."""
        return [dict(sample.labels) for sample in self._samples if sample.name == name]


async def scrape(client: Client) -> Scrape:
    """Read `/metrics`."""
    async with client.http.get("/metrics") as response:
        assert response.status == 200
        return Scrape(await response.text())


async def test_an_answer_is_measured(stage: Stage) -> None:
    """By the names of the GenAI conventions, with the model; each once."""
    await stage.answer("s1", "hello", *(["word "] * 5))
    now = await scrape(stage.client)
    for name in ("gen_ai_server_time_to_first_token_seconds", "gen_ai_server_request_duration_seconds"):
        assert now.value(f"{name}_count", **PUPPET) == 1
    assert now.value("gen_ai_server_request_duration_seconds_count", outcome="complete", error_type="") == 1
    assert now.value("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **PUPPET) == 5
    assert now.value("gen_ai_server_time_per_output_token_seconds_count", **PUPPET) == 1
    first, whole = (
        now.value(f"gen_ai_server_{name}_seconds_sum") for name in ("time_to_first_token", "request_duration")
    )
    assert 0 <= first <= whole


async def test_a_newer_prompt_and_a_stop_are_measured(stage: Stage) -> None:
    """How long the newer prompt waited, and how long each upstream took to close."""
    await stage.client.post("s1", "old")
    await stage.opened()
    newer = await stage.client.post("s1", "new")
    await stage.opened(2)
    assert (await stage.client.stop(newer["stream_id"]))["outcome"] == "stopped"
    now = await scrape(stage.client)
    assert now.value("tailrace_supersede_wait_seconds_count") == 1
    assert now.value("tailrace_stop_to_upstream_closed_seconds_count") == 2
    assert now.value("tailrace_supersede_timeouts_total") == 0
    assert now.value("tailrace_upstream_not_closed_total") == 0


@pytest.mark.slow
async def test_an_upstream_that_does_not_close_is_counted(tmp_path: Path) -> None:
    """The newer prompt waited for the bound, and no time to close is made up."""
    async with on_stage(tmp_path, deaf=True, stubborn=True, supersede_timeout=0.2) as stage:
        await stage.client.post("s1", "old")
        await stage.opened()
        await stage.client.post("s1", "new")
        await stage.opened(2)
        now = await scrape(stage.client)
        assert now.value("tailrace_supersede_timeouts_total") == 1
        assert now.value("tailrace_upstream_not_closed_total") == 1
        assert now.value("tailrace_supersede_wait_seconds_count") == 1
        assert now.value("tailrace_supersede_wait_seconds_sum") >= 0.2
        assert now.value("tailrace_stop_to_upstream_closed_seconds_count") == 0
        for generation in stage.puppet.generations:
            generation.finish()


async def test_errors_of_a_model_server_are_counted_by_kind(stage: Stage) -> None:
    """With the backend's name."""
    posted = await stage.client.post("s1", "hello")
    (await stage.opened()).fail(UpstreamTruncated("It broke off."))
    await stage.client.read_stream(posted["stream_id"])
    now = await scrape(stage.client)
    assert now.value("tailrace_backend_errors_total", backend="puppet", kind="upstream_truncated") == 1
    duration = "gen_ai_server_request_duration_seconds_count"
    assert now.value(duration, outcome="failed", error_type="upstream_truncated") == 1


async def test_no_text_and_no_id_is_a_label(stage: Stage) -> None:
    """Whatever a prompt says and a session is called, `/metrics` does not."""
    await stage.answer("secret-session", "secret prompt", "secret answer")
    async with stage.http.get("/metrics") as response:
        assert "secret" not in await response.text()


async def test_resets_are_counted_by_reason(stage: Stage) -> None:
    """Of the API's streams and of the pages'."""
    await stage.answer("s1", "hello", "Hi")
    async with stage.client.events("/api/sessions/s1/events", "1-1") as events:
        assert (await take(events, 1))[0].name == "reset"
    async with stage.client.events("/events?watch=s1:1-1") as events:
        assert (await take(events, 1))[0].name == "reset"
    assert (await scrape(stage.client)).value("tailrace_resets_total", reason="epoch") == 2


@pytest.mark.slow
async def test_a_slow_viewer_is_behind(tmp_path: Path) -> None:
    """By as many events as it has not been sent; later the time is known that it took to catch up."""
    async with flooding(tmp_path) as live:
        posted: dict[str, Any] = await live.client.post(
            "s1", "fault=flood tokens=60000 pace=0", model="ollama/double"
        )
        async with slow_viewer(live, f"/api/streams/{posted['stream_id']}/events") as slow:
            await live.client.read_stream(posted["stream_id"])
            now = await scrape(live.client)
            assert now.value("tailrace_viewers_behind") == 1
            assert 0 < now.value("tailrace_viewer_lag_events") <= 60_010
            assert now.value("tailrace_log_bytes") > 60_000
            await slow.read_to_the_end()
        await until(lambda: live.registry.statistics().viewers == 0)
        now = await scrape(live.client)
        assert (now.value("tailrace_viewers_behind"), now.value("tailrace_viewer_lag_events")) == (0, 0)
        assert now.value("tailrace_viewer_lag_seconds_count") >= 1


async def test_the_history_is_measured(stage: Stage) -> None:
    """Each transaction's time; nothing is left to be written a moment after."""
    await stage.answer("s1", "hello", "Hi")
    assert (await stage.client.get("/api/sessions"))["http"] == 200  # writes what is pending
    now = await scrape(stage.client)
    assert now.value("tailrace_history_batch_seconds_count") >= 2
    assert now.value("tailrace_history_batch_seconds_sum") > 0
    assert now.value("tailrace_history_backlog_changes") == 0
    assert now.value("tailrace_history_backlog_bytes") == 0
    assert now.value("tailrace_history_available") == 1


async def test_a_backend_that_does_not_answer_is_down(tmp_path: Path) -> None:
    """A scrape asks again what was not asked lately, so this is not the state of the start."""
    async with on_stage(tmp_path, ollama_url="http://127.0.0.1:9") as stage:
        await stage.client.get("/api/models")
        now = await scrape(stage.client)
        assert now.value("tailrace_backend_up", backend="ollama") == 0
        assert now.value("tailrace_backend_up", backend="puppet") == 1
        assert now.value("tailrace_backend_models", backend="puppet") == 1


async def test_a_server_without_a_model_list_is_up(tmp_path: Path) -> None:
    """It serves the models that the operator named."""
    async with OpenAIDouble() as double:
        url, model = f"{double.url}/nothing", "openai/named"
        async with serve(tmp_path, openai_url=url, default_model=model, scripted=False) as live:
            assert [found["id"] for found in (await live.client.get("/api/models"))["models"]] == [model]
            now = await scrape(live.client)
            assert now.value("tailrace_backend_up", backend="openai") == 1
            assert now.value("tailrace_backend_models", backend="openai") == 1
