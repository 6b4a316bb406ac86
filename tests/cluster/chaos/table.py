"""The table that a run of chaos prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles

from tests.cluster.chaos.checker import KINDS
from tests.cluster.chaos.run import Result


def rows(results: Mapping[str, Result]) -> list[list[str]]:
    """Return the heads and a row for each kind of fault. The last columns must be 0, `refused` for some of them."""
    heads = [
        "fault",
        "times",
        "prompts",
        "tokens seen",
        "takeovers",
        "p50",
        "p99",
        "continued",
        "resets",
        "refused",
        *KINDS,
    ]
    found = [heads]
    for kind, result in results.items():
        times = [f"{_percentile(result.takeovers, 50):.2f} s", f"{_percentile(result.takeovers, 99):.2f} s"]
        figures = [result.faults, result.prompts, result.tokens, len(result.takeovers)]
        row = [kind, *map(str, figures), *(times if result.takeovers else ["-", "-"])]
        row += [str(result.continued), str(result.resets), str(result.refused.total())]
        found.append(row + [str(result.found.counts[what]) for what in KINDS])
    return found


def drawn(results: Mapping[str, Result]) -> str:
    """Return the table as Markdown, aligned."""
    table = rows(results)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [_line(row, widths) for row in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]
