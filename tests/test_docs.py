"""The documentation is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.chat.states import Outcome, Reason
from app.config.settings import TABLE, Row
from tests.telemetry.readings import everything

ROOT = Path(__file__).parent.parent
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def documented_row(row: Row) -> str:
    """Return the line that stands in the table for this setting."""
    default = row.default if row.default == "none" or " " in row.default else f"`{row.default}`"
    return f"| `{row.env}` | {default} | {row.unit} | {row.description} |"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.env)
def test_each_setting_is_documented_as_it_is(row: Row) -> None:
    """Name, default, unit and description in docs/operations.md are those of the table."""
    assert documented_row(row) in OPERATIONS.splitlines()


def test_no_other_setting_is_documented() -> None:
    """Whatever the document calls a setting is one."""
    assert set(re.findall(r"TAILRACE_[A-Z_]+", OPERATIONS)) == {row.env for row in TABLE}


def test_each_metric_is_documented() -> None:
    """Every metric of ours is in the document under the name that a scrape shows."""
    for metric in everything().collect():
        if metric.name.startswith(("tailrace_", "gen_ai_")):
            shown = metric.name + ("_total" if metric.type == "counter" else "")
            assert re.search(rf"`{shown}[`{{]", OPERATIONS), shown


def test_no_other_metric_is_documented() -> None:
    """Whatever the document calls a metric is one."""
    names = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in everything().collect()
    }
    table = "\n".join(line for line in OPERATIONS.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`((?:tailrace|gen_ai)_\w+?)(?:\{[a-z_, ]+\})?`", table)) <= names


def test_each_reason_for_a_cancellation_is_documented() -> None:
    """The reasons in log lines are those of the code."""
    line = next(line for line in OPERATIONS.splitlines() if line.startswith("| `stream_cancelled`"))
    assert re.findall(r"`(\w+)`", line)[2:] == [reason.value for reason in Reason]


def test_a_stop_and_an_interruption_are_told_apart() -> None:
    """The outcome that the document names for a shutdown exists."""
    assert f"`{Outcome.INTERRUPTED}`" in OPERATIONS


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)`", OPERATIONS))))
def test_each_documented_make_target_exists(target: str) -> None:
    """What the document tells to type works."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
