"""The benchmark itself runs, and delivers every token. Nothing here is about how fast."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from tests.benchmarks.load.bench import QUICK
from tests.benchmarks.load.run import SCENARIOS, run
from tests.benchmarks.load.servers import cluster
from tests.benchmarks.load.servers.cores import Cores

ROOT = Path(__file__).parent.parent.parent.parent
COUNTED = ("tokens that did not arrive", "overlapping generations", "not answered in full")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the quick benchmark."""
    command = [sys.executable, "-m", "tests.benchmarks.load", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.slow
def test_the_quick_benchmark_delivers_every_token_and_reports_it_all(tmp_path: Path) -> None:
    """It ends well, misses no token and no prompt, holds every goal against a value, and writes JSON and a plot."""
    # The nodes of a cluster take as long to start as all the rest takes.
    names = ",".join(name for name in SCENARIOS if name != "cluster")
    ran = bench(
        "--only", names, "--json", str(tmp_path / "bench.json"), "--plot", str(tmp_path / "bench.svg")
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = msgspec.json.decode((tmp_path / "bench.json").read_bytes())
    figures = report["figures"]
    counted = [figure for figure in figures if figure["figure"].endswith(COUNTED)]
    assert len(counted) == 4, ran.stdout
    assert [figure["met"] for figure in counted] == [True] * 4, ran.stdout
    goals = [figure for figure in figures if figure["goal"] is not None]
    assert all(figure["verdict"] for figure in goals), goals
    assert ran.stdout.count("≤") == len(goals) >= 35, ran.stdout
    drawn = ElementTree.parse(tmp_path / "bench.svg").getroot()
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4 - len(report["missing"]), ran.stdout


@pytest.mark.slow
def test_the_cluster_is_measured(tmp_path: Path) -> None:
    """Real nodes on real engines deliver a value for every row, each goal included; none is missing."""
    ran = bench("--only", "cluster", "--json", str(tmp_path / "bench.json"))
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = msgspec.json.decode((tmp_path / "bench.json").read_bytes())
    assert report["missing"] == {}, ran.stdout
    figures = report["figures"]
    assert len(figures) == 15, ran.stdout
    assert all(figure["rounds"]["tailrace"] for figure in figures), ran.stdout
    goals = [figure["goal"] for figure in figures if figure["goal"] is not None]
    assert goals == [10.0, 1.0, 10.0, 1.0, 1.1, 2.0, 2.5]


async def test_a_missing_engine_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster has no rows then, and the reason is kept for the report."""

    @contextmanager
    def none() -> Iterator[None]:
        pytest.skip("there is no Valkey for this machine")
        yield

    monkeypatch.setattr(cluster, "running_valkey", none)
    results = await run(QUICK, Cores.choose(), ["cluster"])
    assert results.rows == []
    assert results.missing == {"cluster": "there is no Valkey for this machine"}


def test_one_scenario_is_measured_alone() -> None:
    """`--only` leaves out everything else."""
    ran = bench("--only", "viewers")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("≤") == 1, ran.stdout


def test_an_unknown_scenario_is_refused_with_the_names_of_all() -> None:
    """The message names what there is."""
    ran = bench("--only", "viewers,nonsense")
    assert ran.returncode == 2
    assert "'nonsense'" in ran.stderr
    assert all(name in ran.stderr for name in SCENARIOS)


def test_a_plot_without_its_scenario_is_refused(tmp_path: Path) -> None:
    """Nothing is measured in vain."""
    ran = bench("--only", "viewers", "--plot", str(tmp_path / "bench.svg"))
    assert ran.returncode == 2
    assert "growth" in ran.stderr
