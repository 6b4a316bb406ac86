"""What operators and their machines ask: models, health, readiness, figures, and the limit on streams."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.doubles.ollama import OllamaDouble
from tests.support.client import Client
from tests.support.server import serve
from tests.web.stage import Stage, on_stage, problem, take


async def test_the_models_of_every_reachable_backend(tmp_path: Path) -> None:
    """With their full names, the backend, what is known of them, and which is the default."""
    async with OllamaDouble() as double, serve(tmp_path, ollama_url=double.url) as live:
        answer = await live.client.get("/api/models")
        assert answer["default"] == "ollama/double:latest"
        assert answer["unreachable"] == []
        ids = [model["id"] for model in answer["models"]]
        assert ids[:2] == ["ollama/double:latest", "ollama/other:1b"]
        assert "scripted/short" in ids
        assert set(answer["models"][0]) == {"id", "backend", "name", "context", "vision", "continues"}


async def test_a_backend_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """With a code and a sentence; the others are there all the same, and so is the answer, at once."""
    async with serve(tmp_path, ollama_url="http://127.0.0.1:9") as live:
        answer = await live.client.get("/api/models")
        assert answer["default"] == "scripted/echo"
        (unreachable,) = answer["unreachable"]
        assert (unreachable["backend"], unreachable["code"]) == ("ollama", "upstream_unreachable")
        assert unreachable["message"].endswith("Is it running?")


async def test_without_any_model_a_prompt_is_turned_down(tmp_path: Path) -> None:
    """503 with what is wrong, unless it names a model: then its stream says what is wrong."""
    async with serve(tmp_path, ollama_url="http://127.0.0.1:9", scripted=False) as live:
        async with live.client.http.post("/api/sessions/s1/streams", json={"prompt": "hello"}) as response:
            await problem(response, 503, "no_models")
        events = await live.client.ask("s1", "hello", model="ollama/llama3.2:1b")
        assert events[-1].data["error"]["code"] == "upstream_unreachable"
        async with live.client.http.get("/") as response:
            assert response.status == 200


async def test_alive_and_ready(client: Client) -> None:
    """All answer 200."""
    assert (await client.get("/healthz")) == {"http": 200, "status": "ok"}
    assert (await client.get("/readyz")) == {"http": 200, "status": "ready"}
    assert (await client.get("/servez")) == {"http": 200, "status": "serving"}


async def figures(stage: Stage) -> dict[str, float]:
    """The product's own figures, as Prometheus reads them."""
    async with stage.http.get("/metrics") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        families = text_string_to_metric_families(await response.text())
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("tailrace_")
    }


async def test_the_figures_count_what_happens(stage: Stage) -> None:
    """Gauges tell what is there now, counters what was."""
    await stage.answer("s1", "hello", "Hi", " there")
    await stage.client.post("s1", "more")
    queued = await stage.client.post("s1", "yet more", if_active="enqueue")
    async with stage.client.events("/api/sessions/s1/events") as events:
        await take(events, 2)
        now = await figures(stage)
        assert (now["tailrace_streams_active"], now["tailrace_streams_queued"]) == (1, 1)
        assert (now["tailrace_viewers"], now["tailrace_streams_zombie"]) == (1, 0)
        await stage.client.delete("/api/sessions/s1/stream")
        await stage.client.read_stream(queued["stream_id"])
    await stage.settled()
    now = await figures(stage)
    gauges = ("tailrace_streams_active", "tailrace_streams_queued", "tailrace_viewers")
    assert [now[gauge] for gauge in gauges] == [0, 0, 0]
    assert (now["tailrace_streams_started_total"], now["tailrace_tokens_total"]) == (3, 2)
    ended = {name.split()[1]: count for name, count in now.items() if " " in name and "ended" in name}
    assert ended == {"complete": 1, "stopped": 2}


async def test_the_streams_of_a_server_are_limited(tmp_path: Path) -> None:
    """429 with `Retry-After` past the limit; a busy session may go on, and an ended stream makes room."""
    async with on_stage(tmp_path, max_streams=2) as stage:
        first = await stage.client.post("s1", "hello")
        await stage.client.post("s2", "hello")
        async with stage.http.post("/api/sessions/s3/streams", json={"prompt": "hello"}) as response:
            await problem(response, 429, "too_many_streams")
            assert int(response.headers["Retry-After"]) > 0
        assert (await stage.client.get("/api/sessions/s3"))["http"] == 404
        second = await stage.client.post("s1", "newer")
        assert second["http"] == 201
        assert (await stage.client.stop(first["stream_id"]))["outcome"] == "superseded"
        await stage.client.stop(second["stream_id"])
        assert (await stage.client.post("s3", "hello"))["http"] == 201
