"""What a Prometheus scrape sees."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.loop_health import LoopHealth
from app.telemetry.metrics import collectors, render
from app.telemetry.sources import Sources
from tests.support.recorder import Recorder
from tests.telemetry.readings import Reading, everything


def scrape(reading: Reading) -> dict[str, float]:
    """Return the samples of one scrape, by name and labels, as a Prometheus server parses them."""
    text = render(collectors(Sources(lambda: reading))).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


def test_a_scrape_shows_the_statistics() -> None:
    """Each figure arrives under its own name."""
    reading = Reading(
        active=1,
        limit=9,
        queued=2,
        zombies=3,
        viewers=4,
        started=5,
        tokens=6,
        ended={"stopped": 7, "failed": 8},
    )
    samples = scrape(reading)
    assert {
        name: value for name, value in samples.items() if name.startswith(("tailrace_streams", "tailrace_v"))
    } == {
        "tailrace_streams_active": 1,
        "tailrace_streams_limit": 9,
        "tailrace_streams_queued": 2,
        "tailrace_streams_zombie": 3,
        "tailrace_viewers": 4,
        "tailrace_streams_started_total": 5,
        "tailrace_streams_ended_totalstopped": 7,
        "tailrace_streams_ended_totalfailed": 8,
    }
    assert samples["tailrace_tokens_total"] == 6


def test_the_statistics_are_read_at_the_scrape() -> None:
    """Nothing is read before a scrape, and one scrape reads once: all its figures are of one moment."""
    readings: list[Reading] = []

    def read() -> Reading:
        readings.append(Reading(active=len(readings)))
        return readings[-1]

    registry = collectors(Sources(read))
    assert readings == []
    render(registry)
    assert len(readings) == 1


def test_the_process_is_measured_too() -> None:
    """Memory and processor time of the server come along."""
    assert "process_resident_memory_bytes" in scrape(Reading())


def test_two_servers_in_one_process_do_not_meet() -> None:
    """Each has a registry of its own; a global one would refuse the second."""
    first = collectors(Sources(lambda: Reading(active=1)))
    second = collectors(Sources(lambda: Reading(active=2)))
    assert b"tailrace_streams_active 1.0" in render(first)
    assert b"tailrace_streams_active 2.0" in render(second)


def test_a_blocked_loop_shows() -> None:
    """How long and how often the loop was blocked, and the longest block."""
    health = LoopHealth(logger=Recorder())
    health.blocked, health.blocks, health.worst = 0.75, 2, 0.5
    text = render(collectors(Sources(Reading, loop=health))).decode()
    assert "tailrace_loop_blocked_seconds_total 0.75" in text
    assert "tailrace_loop_blocks_total 2.0" in text
    assert "tailrace_loop_blocked_worst_seconds 0.5" in text


def test_every_histogram_is_whole_before_anything_happened() -> None:
    """A rate over a histogram that appears later would miss its first value."""
    samples = {sample.name for metric in everything().collect() for sample in metric.samples}
    for name in ("supersede_wait", "stop_to_upstream_closed", "viewer_lag", "history_batch"):
        assert {f"tailrace_{name}_seconds_{part}" for part in ("bucket", "count", "sum")} <= samples


def test_every_name_says_its_unit_and_kind() -> None:
    """Counters end in `_total`, times are in seconds, sizes in bytes: as promtool's linter asks."""
    for metric in everything().collect():
        if metric.name.startswith("tailrace_"):
            assert not metric.name.endswith(("_ms", "_total", "_count")), metric.name
            assert metric.documentation.endswith("."), metric.name
