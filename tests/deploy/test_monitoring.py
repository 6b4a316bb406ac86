"""The alert rules and the dashboard: Prometheus accepts them, they say what they should, and they read real metrics."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machine import need
from tests.telemetry.readings import everything

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy/prometheus-rules.yaml"
TESTS = ROOT / "tests/deploy/alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text(encoding="utf-8"))
# What Prometheus itself knows of each target.
SCRAPED = {"up"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")
_LABELS = re.compile(r"\{[^}]*\}")
_NAME = re.compile(r"\b(?:tailrace|gen_ai|process|python|up)\w*\b")


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checker."""
    return need("promtool")


def run(*command: str | Path) -> str:
    """Run a checker; return what it says if it is not content."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    """Every expression is valid, and every template."""
    assert run(promtool, "check", "rules", RULES) == ""


def test_each_alert_fires_on_its_own_trouble_alone(promtool: str) -> None:
    """On made-up series of a good and a bad day."""
    assert run(promtool, "test", "rules", TESTS) == ""


def test_prometheus_accepts_the_expressions_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    """As rules, with Grafana's variables filled in."""
    rules = [
        {"record": f"panel{number}", "expr": filled(expression)}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    assert run(promtool, "check", "rules", path) == ""


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    return [
        rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def expressions() -> list[str]:
    """Return all expressions of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def filled(expression: str) -> str:
    """Fill in what Grafana would."""
    return expression.replace("$instance", ".*").replace("$__rate_interval", "1m")


def names(expression: str) -> set[str]:
    """Return the names of the metrics that an expression reads."""
    for noise in (_STRING, _GROUPING, _LABELS):
        expression = noise.sub("", expression)
    return set(_NAME.findall(expression))


def real_names() -> Iterator[str]:
    """Yield every name that a scrape can have."""
    for metric in everything().collect():
        if metric.type == "histogram":
            yield from (f"{metric.name}_{part}" for part in ("bucket", "count", "sum"))
        else:
            yield metric.name + ("_total" if metric.type == "counter" else "")


def test_the_names_of_an_expression_are_found() -> None:
    """The check itself tells names from labels and strings."""
    text = 'sum by (tailrace_x, le) (rate(tailrace_a_total{instance=~"tailrace_b", up="1"}[5m])) > up'
    assert names(text) == {"tailrace_a_total", "up"}


@pytest.mark.parametrize("expression", [rule["expr"] for rule in alerts()] + expressions())
def test_an_expression_reads_real_metrics(expression: str) -> None:
    """Each of its names is in /metrics; a misspelt one would show nothing, and never alert."""
    assert names(expression)
    assert names(expression) <= {*real_names(), *SCRAPED}


def test_every_metric_is_on_the_dashboard() -> None:
    """What is measured can be seen."""
    shown = {name for expression in expressions() for name in names(expression)}
    for metric in everything().collect():
        if metric.name.startswith(("tailrace_", "gen_ai_")):
            own = {metric.name, *(f"{metric.name}_{part}" for part in ("total", "bucket", "count", "sum"))}
            assert own & shown, metric.name


def test_every_alert_is_tested() -> None:
    """Both ways: that it fires, and that it does not."""
    ways = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    silent, loud = ({test["alertname"] for test in way["alert_rule_test"]} for way in ways)
    assert silent == loud == {rule["alert"] for rule in alerts()}


def test_every_alert_says_what_is_wrong_and_what_follows() -> None:
    """With a severity to route it by."""
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_works_with_any_data_source() -> None:
    """It names none, its panels have ids of their own, and none lies on another."""
    sources = {json.dumps(panel["datasource"]) for panel in DASHBOARD["panels"] if panel["type"] != "row"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
