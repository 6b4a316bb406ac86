"""A goal that is missed has its reason beside it."""

from __future__ import annotations

import pytest

from tests.benchmarks.load.report.reasons import UNKNOWN, WHY, missed, reason
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.servers.target import TAILRACE


def test_only_what_is_missed_has_a_reason() -> None:
    """By how much, and why; what has no goal, or meets it, is left out."""
    rows = [
        Row("CPU µs per token delivered, 1 stream, 200 viewers", {TAILRACE: [12.0, 8.0, 16.0]}, 8.0),
        Row("list of 10,000 sessions, ms", {TAILRACE: [1.0]}, 30.0),
        Row("CPU µs per token, 10 x 5/s", {TAILRACE: [300.0]}),
        Row("something new", {TAILRACE: [3.0]}, 1.0),
        Row("something else", {TAILRACE: [5.0]}, 0.0),
    ]
    assert missed(rows) == [
        (f"{rows[0].figure}: missed by 50%", WHY["CPU µs per token delivered"]),
        ("something new: missed by 200%; something else: missed by 5", UNKNOWN),
    ]


@pytest.mark.parametrize("start", WHY)
def test_no_reason_hides_another(start: str) -> None:
    """A figure is looked up by its beginning, so a longer beginning comes before a shorter one."""
    assert reason(start) == WHY[start]
